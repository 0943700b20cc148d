"""Stages around a generator: fit it, sample a chunk, judge a chunk.

The copying monitor (vision) and the classifier behind the agreement filter (training) meet the
generator and the filters here, because stages may not import each other.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from synthlift.errors import DeviceMemoryError, InputError, is_out_of_memory
from synthlift.rows import IN_MEMORY_BYTES
from synthlift.savings import SavesMemory
from synthlift.seeds import seed_for
from synthlift.spec.targets import SOURCES, Cell
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.store.images import MASKS, SOFT_LABELS, ManifestEntry, read_generated
from synthlift.store.keys import canonical, digest_bytes
from synthlift.store.packed import ORIGINALS, Packing, write_images, write_streams
from synthlift.study.components import build, rebuild
from synthlift.study.executors.local import HOLDS
from synthlift.study.stages.common import (
    classifier,
    data_keys,
    fit_inputs,
    has_many,
    load_plugins,
    reference,
    run_context,
    text_match,
)
from synthlift.study.stages.curves import CurveKeeper
from synthlift.study.stages.errors import hard_sources
from synthlift.study.stages.sheets import SheetKeeper, copy_sheets
from synthlift.study.warning import told_by_fit
from synthlift.types import (
    ExposesLikelihood,
    ExposesLoss,
    Filter,
    FitInputs,
    FittedGenerator,
    Generator,
    ImageBatch,
    InputsGenerator,
    Monitor,
    SampleRequest,
    SamplesInChunks,
    Selector,
)

SAVED, SHEETS = "generator", "sheets"
MONITORED = 3
"""Fewer training images than this leave nothing to compare distances with."""


def fit(request: StageRequest, context: StageContext) -> Summary:
    """Stage: fit a generator on one training set; writes ``generator/``."""
    load_plugins(request)
    _large.clear()
    inputs = fit_inputs(request, context.store)
    generator: Generator = build("generators", request.config["generator"])
    _, settings = rebuild("generators", request.config["generator"])
    monitor = None
    if settings.one_pool() == "no":  # there is something to watch
        monitor = _copying_monitor(inputs, seed=request.seed, folder=context.store.scratch())
    shown = [Path(place) for place in request.local.get("sheets", ())]
    if monitor is not None:
        places = [context.work / SHEETS, *shown]
        monitor = SheetKeeper(monitor, classes=inputs.train.classes, places=places)
    run = run_context(request, context)
    run = replace(run, monitor=monitor, progress=CurveKeeper(run.progress, places=shown))
    try:
        fitted = generator.fit(inputs, run=run)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise _too_large_to_train(request) from error
    fitted.save(context.out / SAVED)
    copy_sheets(context.work / SHEETS, context.out / SHEETS)
    facts: dict[str, Any] = getattr(fitted, "facts", dict)()
    for words in told_by_fit(request, facts):
        context.log("warning", text=words)
    return {
        "image_shape": list(fitted.image_shape),
        "classes": list(inputs.train.classes),
        "explains": isinstance(fitted, ExposesLoss | ExposesLikelihood),
        **facts,
    }


LOWERED = ("batch_size", "micro_batch", "monitor_images", "width", "depth")
"""Settings by which a fit takes less memory, as far as a generator has them; the mildest first."""


def _too_large_to_train(request: StageRequest) -> DeviceMemoryError:
    component = request.config["generator"]
    has = {name: component["config"][name] for name in LOWERED if name in component["config"]}
    ways = [f"{name} (now {value})" for name, value in has.items()]
    return DeviceMemoryError(
        f"the memory of '{request.device}' is too small to train generator '{component['kind']}'",
        rule="a training step, and a look at samples between steps, must fit into memory",
        remedy=f"lower {', or '.join(ways)} of the generator, or data.image_size"
        if ways
        else "lower data.image_size, or take another device with --device",
    )


def _copying_monitor(inputs: FitInputs, *, seed: int, folder: Path) -> Monitor | None:
    from synthlift.vision.copying import CopyingMonitor, copying_reference
    from synthlift.vision.encoders import RandomConvolutions

    if len(inputs.train) < MONITORED or not len(inputs.validation):
        return None
    reference = copying_reference(
        inputs.train,
        held_out=inputs.validation,
        encoder=RandomConvolutions(),
        seed=seed,
        folder=folder,
    )
    return CopyingMonitor(reference, classes=inputs.train.classes)


@functools.lru_cache(maxsize=4)
def _small(root: Path, fit_key: str, device: str) -> FittedGenerator:
    return open_fit(Store(root), fit_key, device=device)


_large: dict[tuple[Path, str, str], FittedGenerator] = {}
"""The one large model that this process holds."""


def _fitted(request: StageRequest, root: Path) -> FittedGenerator:
    asked = (root, request.one("fit"), request.device)
    if not request.local.get(HOLDS):
        return _small(*asked)
    if asked not in _large:
        _large.clear()  # before the next one is opened
        _large[asked] = open_fit(Store(root), asked[1], device=request.device)
    return _large[asked]


def open_fit(store: Store, key: str, *, device: str) -> FittedGenerator:
    """Load a committed generator, with its inputs where it samples from them."""
    fit = store.open(key)
    generator: Generator = build("generators", fit.record["config"]["generator"])
    if not isinstance(generator, InputsGenerator):
        return generator.load(fit.folder / SAVED, device=device)
    asked = StageRequest(
        stage="fit", function="", config=fit.record["config"], inputs=fit.record["inputs"]
    )
    return generator.reload(fit.folder / SAVED, inputs=fit_inputs(asked, store), device=device)


def sample(request: StageRequest, context: StageContext) -> Summary:
    """Stage: one chunk of one sampling stream; writes its images uint8 [n, H, W, C].

    A request's seed derives from (fit, stream, cell, index), so a chunk's pixels depend on
    nothing but its place in the stream.
    """
    load_plugins(request)
    config = request.config
    fitted = _fitted(request, context.store.root)
    first = config["chunk"] * config["size"]
    cell = Cell.of(config["label"], config.get("attributes"))
    sources = _sources(request, context.store, cell) if "errors" in request.inputs else ()
    requests = [
        SampleRequest(
            index=index,
            label=config["label"],
            seed=seed_for(request.seed, config["stream"], *cell.seed_parts, index),
            stream=config["stream"],
            attributes={k: v for k, v in cell.attributes if k != SOURCES},
            sources=sources,
        )
        for index in range(first, first + config["size"])
    ]
    together, savings = (request.numerics.get(name, 0) for name in ("micro_batch", "savings"))
    fitted = leaner(fitted, together, savings=savings)
    try:
        batches = []
        with Packing() as packing, Packing() as large:
            for batch in fitted.sample(requests):
                if len(batch):
                    # Originals of a chunk may take gigabytes: they are held packed.
                    batches.append(replace(batch, originals=None))
                    packing.add(batch.pixels)
                    if batch.originals is not None:
                        large.add(batch.originals, small=True)
                        drawn = batch.originals.shape[1:]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise too_large_to_sample(
            fitted, device=request.device, fit=request.one("fit"), savings=savings
        ) from error
    shape = tuple(config["image_shape"])
    none = np.zeros((0, *shape), np.uint8)
    pixels = np.concatenate([batch.pixels for batch in batches]) if batches else none
    if pixels.shape[1:] != shape:
        raise InputError(
            f"the generator gave images of {pixels.shape[1:]}, the study works at {shape}",
            rule="a generator's native size equals the study's image size",
            remedy=f"set data.image_size to {pixels.shape[1]}, or the generator's own size",
        )
    write_images(context.out, pixels, streams=packing.streams())
    if originals := large.streams():
        assert len(originals) == len(pixels)
        write_streams(context.out / ORIGINALS, originals, shape=drawn)
    if batches and all(batch.masks is not None for batch in batches):
        masks = [batch.masks for batch in batches if batch.masks is not None]
        np.save(context.out / MASKS, np.concatenate(masks))
    if batches and all(batch.soft_labels is not None for batch in batches):
        soft = [batch.soft_labels for batch in batches if batch.soft_labels is not None]
        np.save(context.out / SOFT_LABELS, np.concatenate(soft))
    told = {
        "origins": [origin for batch in batches for origin in batch.origins or ()],
        "prompts": [prompt for batch in batches for prompt in batch.prompts or ()],
    }
    hashes = [digest_bytes(np.ascontiguousarray(image).data) for image in pixels]
    counts = {name: sum(getattr(one, name) for one in batches) for name in ("redrawn", "black")}
    noted = {name: values for name, values in {**told, **counts}.items() if values}
    return {"hashes": hashes, **noted}


def leaner(fitted: FittedGenerator, micro_batch: int, *, savings: int) -> FittedGenerator:
    """The generator computing so many images together (0 = as it is), saving memory besides."""
    if micro_batch and isinstance(fitted, SamplesInChunks):
        fitted = fitted.with_micro_batch(micro_batch)
    if savings and isinstance(fitted, SavesMemory):
        fitted = fitted.with_savings(savings)
    return fitted


def too_large_to_sample(
    fitted: FittedGenerator, *, device: str, fit: str = "", savings: int = 0
) -> DeviceMemoryError:
    """The error where memory ran out, with so many savings in use; it tells what can be tried."""
    together = fitted.micro_batch if isinstance(fitted, SamplesInChunks) else 1
    further: tuple[str, ...] = ()
    if together == 1 and isinstance(fitted, SavesMemory) and savings < len(fitted.ways_to_save):
        further = fitted.ways_to_save[: savings + 1]
    return DeviceMemoryError(
        f"the memory of '{device}' is too small to sample {together} image"
        + ("s together" if together > 1 else ""),
        rule="at least one image at a time must fit into memory",
        remedy=("set dtype: bfloat16, " if isinstance(fitted, SavesMemory) else "")
        + "lower data.image_size or the generator's size, or take another device with --device",
        fit=fit,
        micro_batch=together if together > 1 else 0,
        savings=further,
    )


def _sources(request: StageRequest, store: Store, cell: Cell) -> tuple[str, ...]:
    """Ids of the hard training images that the images of a cell are made from."""
    fitted = store.open(request.one("fit")).record
    asked = StageRequest(stage="fit", function="", inputs=fitted["inputs"])
    plain = Cell.of(cell.label, {k: v for k, v in cell.attributes if k != SOURCES})
    return hard_sources(
        store,
        request.one("errors"),
        cell=plain,
        data=data_keys(asked),
        draw=fitted["config"]["draw"],
    )


def _calibrated(root: Path, spec: str) -> dict[str, Filter | Selector]:
    """Filters calibrated on (training set, validation, first chunks)."""
    import json

    from synthlift.types import FilterInputs

    parts = json.loads(spec)
    store = Store(root)
    request = StageRequest(stage="judge", function="", config=parts, inputs=parts["inputs"])
    inputs = fit_inputs(request, store)
    scorer = classifier(store, parts["inputs"]["scorer"])
    chunks = calibrating_images(store, parts["inputs"]["reference"])
    known = reference(request, store)
    seen = FilterInputs(
        train=inputs.train,
        validation=inputs.validation,
        test=inputs.test,
        encoder=known.encoder,
        features=known.features,
        reference=_batch(store, chunks) if chunks else None,
        scorer=scorer.probabilities,
        texts=text_match(parts, inputs.train.classes),
    )
    filters: dict[str, Filter | Selector] = {}
    for component in parts["filters"]:
        filters[component["name"]] = build("filters", component)
        filters[component["name"]].calibrate(seen)
    return filters


_calibrated_on_few = functools.lru_cache(maxsize=8)(_calibrated)
_calibrated_on_many = functools.lru_cache(maxsize=2)(_calibrated)


def calibrating_images(store: Store, keys: list[str]) -> list[ManifestEntry]:
    """First chunks as a whole, or equally many images of each where all would take much memory."""
    shape = store.open(keys[0]).record["config"]["image_shape"]
    most = max(1, IN_MEMORY_BYTES // (len(keys) * math.prod(shape)))
    return [{**entry, "rows": entry["rows"][:most]} for entry in _whole_chunks(store, keys)]


def _whole_chunks(store: Store, keys: list[str]) -> list[ManifestEntry]:
    chunks = [store.open(key) for key in keys]
    return [
        {
            "chunk": chunk.key,
            "label": chunk.record["config"]["label"],
            "rows": list(range(len(chunk.summary["hashes"]))),
        }
        for chunk in chunks
        if chunk.summary["hashes"]
    ]


def _batch(store: Store, entries: Sequence[ManifestEntry]) -> ImageBatch:
    """Generated images with the prompts that they were drawn from, where all have some."""
    pixels, labels = read_generated(store, entries)
    prompts: list[str] = []
    for entry in entries:
        told = store.open(entry["chunk"]).summary.get("prompts", ())
        prompts.extend(told[row] for row in entry["rows"] if row < len(told))
    whole = len(prompts) == len(labels)
    return ImageBatch(pixels, labels, prompts=tuple(prompts) if whole else None)


def judge(request: StageRequest, context: StageContext) -> Summary:
    """Stage: one verdict per image and filter for one chunk; kept in the record's summary."""
    from synthlift.curation.apply import judge_chunk

    load_plugins(request)
    inputs: Mapping[str, Any] = {k: v for k, v in request.inputs.items() if k != "chunk"}
    spec = canonical({**request.config, "inputs": inputs})
    chunk = _whole_chunks(context.store, [request.one("chunk")])
    if not chunk:
        return {"rejected_by": [], "reasons": [], "scores": {}, "flags": {}}
    calibrated = _calibrated_on_many if has_many(request, context.store) else _calibrated_on_few
    filters = calibrated(context.store.root, spec)
    judged = judge_chunk(filters, batch=_batch(context.store, chunk))
    return {
        "rejected_by": judged.rejected_by.tolist(),
        "reasons": judged.reasons.tolist(),
        "scores": {name: scores.tolist() for name, scores in judged.scores.items()},
        "flags": {name: flags.tolist() for name, flags in judged.flags.items()},
    }
