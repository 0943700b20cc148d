"""Pixels of a run's images: from the store, else from the source or from the run's generator."""

from __future__ import annotations

import itertools
import json
import shlex
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from synthlift.api.training_sets import ArmImage
from synthlift.errors import InputError
from synthlift.spec.targets import Cell
from synthlift.study.folder import artefact_keys, run_facts

if TYPE_CHECKING:
    from synthlift.api.run_folder import Run
    from synthlift.data.contract import Source
    from synthlift.data.decode import Decoded
    from synthlift.rows import PixelRows
    from synthlift.store import Artefact, Store
    from synthlift.study.halving import Halving
    from synthlift.types import Float32, ImageBatch, SampleRequest, UInt8

GENERATORS = "generators"
WHITES = (65535, 4095, 1023, 16383, 255)


class SampledAgain(NamedTuple):
    """An image that the store no longer has.

    Attributes:
        pixels: at the study's size.
        original: file of it as it was drawn; None = as the pixels.
        soft: for how much it counts of each class; None = its label says all.
    """

    pixels: UInt8
    original: Path | None
    soft: Float32 | None


class Pixels:
    """Pixels of a run's images, wherever they can still be had; nothing is read before it is asked.

    Args:
        run: a finished run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._sampled: dict[str, SampledAgain] = {}
        self._number = itertools.count()

    def __getstate__(self) -> dict[str, Any]:
        # Data loaders copy their data set into workers; maps are opened again there.
        return {"run": self.run, "_sampled": {}, "_number": itertools.count()}

    def training(self, image: ArmImage) -> UInt8:
        """As the model saw it before augmentation: uint8 [size, size, C]."""
        return self.synthetic(image) if image.origin == "synthetic" else self._real(image)

    # ── real images ───────────────────────────────────────────────────────────────────────────

    def _real(self, image: ArmImage) -> UInt8:
        if image.id in self._rows:
            found: UInt8 = self._base[np.array([self._rows[image.id]])][0]
            return found
        from synthlift.data.sizes import resize

        facts = self.run.results.study
        decoded = self.original(image)
        return resize(
            decoded.pixels,
            size=facts.image_size,
            fit=self.run.study.data.fit,
            channels=facts.channels,
        )

    def original(self, image: ArmImage) -> Decoded:
        """A real image from its source, checked to be the one that the run read.

        Raises:
            InputError: it is gone or shows something else now.
        """
        from synthlift.data.decode import UnusableImageError, without_pillow_warnings
        from synthlift.data.integrity import pixel_hash

        limit = self.run.study.data.max_pixels
        path = self._paths.get(image.id)
        for white in WHITES if path is not None else ():
            assert path is not None
            try:
                with without_pillow_warnings():
                    decoded = self._source.load(path, max_pixels=limit, white=white)
            except UnusableImageError:
                break
            if pixel_hash(decoded.pixels) == image.sha256:
                return decoded
            if not decoded.peak:  # the white value matters to 16-bit images only
                break
        raise InputError(
            f"image '{image.id}' is no longer in '{self.run.study.data.source}' as it was read",
            rule="real images are taken from the store, else from their source by content",
            remedy="put the original back where it was",
        )

    def original_file(self, image: ArmImage) -> Path | None:
        """The file of a real image; None for embedded data."""
        path = self._paths.get(image.id)
        file = self._source.file(path) if path else None
        return file if file and file.is_file() else None

    @cached_property
    def attributes(self) -> Mapping[str, Mapping[str, str]]:
        """Attributes of real images by id: from the store, else from the source."""
        from synthlift.store.images import attribute_columns, usable_rows

        inventory = self._data.get("inventory")
        if self.store is not None and inventory is not None and self.store.has(inventory):
            columns = attribute_columns(self.store, inventory)
            ids = usable_rows(self.store, inventory)["id"].tolist()
            return {
                name: {key: str(values[row]) for key, values in columns.items()}
                for row, name in enumerate(ids)
            }
        try:
            return {item.id: item.attributes for item in self._source.items}
        except InputError:  # the source is gone
            return {}

    @cached_property
    def _source(self) -> Source:
        from synthlift.data.sources import open_source
        from synthlift.study.places import where_of

        base = Path(str(run_facts(self.run.path).get("base") or Path.cwd()))
        return open_source(where_of(self.run.study.data, base=base), strict=False)

    @cached_property
    def _paths(self) -> dict[str, str]:
        try:
            return {item.id: item.path for item in self._source.items}
        except InputError:  # the source is gone
            return {}

    @cached_property
    def _rows(self) -> Mapping[str, int]:
        """Row of each real image in the store's pixels; empty when they are gone."""
        if self._pixels is None:
            return {}
        from synthlift.store.images import usable_rows

        assert self.store is not None
        inventory = self._data["inventory"]
        if not self.store.has(inventory):
            return {}
        return {str(name): row for row, name in enumerate(usable_rows(self.store, inventory)["id"])}

    @cached_property
    def _base(self) -> PixelRows:
        from synthlift.store.images import PIXELS
        from synthlift.store.pixel_files import open_rows

        assert self._pixels is not None
        return open_rows(self._pixels.path(PIXELS))

    @cached_property
    def _pixels(self) -> Artefact | None:
        key = self._data.get("pixels")
        known = self.store is not None and key is not None and self.store.has(key)
        return self.store.open(key) if known and self.store and key else None

    @cached_property
    def _data(self) -> Mapping[str, str]:
        """Keys of the data set's inventory and pixels; those of other sources may look alike."""
        named = artefact_keys(self.run.path).get("data")
        if named:
            return dict(named)
        # Earlier versions named none; what models are trained on is the data set.
        for model in self.artefacts("model")[:1]:
            return {role: str(model.record["inputs"][role]) for role in ("inventory", "pixels")}
        return {}

    # ── the store ─────────────────────────────────────────────────────────────────────────────

    @cached_property
    def store(self) -> Store | None:
        """The run's store, if it is still there."""
        from synthlift.store import Store

        root = run_facts(self.run.path).get("store")
        return Store(Path(root)) if root and Path(root).is_dir() else None

    def artefacts(self, stage: str) -> list[Artefact]:
        """What the store still has of a stage of this run."""
        if self.store is None:
            return []
        key = run_facts(self.run.path)["key"]
        roots = [root for root in self.store.roots().values() if root.get("key") == key]
        keys = {k for root in roots for k in root["keys"] if k.startswith(f"{stage}-")}
        return [self.store.open(k) for k in sorted(keys) if self.store.has(k)]

    # ── synthetic images ──────────────────────────────────────────────────────────────────────

    def synthetic(self, image: ArmImage) -> UInt8:
        """A generated image, uint8 [size, size, C]: from the store, else sampled again."""
        from synthlift.store.packed import open_images

        if self.store is not None and self.store.has(image.chunk):
            (found,) = open_images(self.store.open(image.chunk).folder)[np.array([image.row])]
            return np.asarray(found)
        if image.id not in self._sampled:
            self._sample_again(image)
        return self._sampled[image.id].pixels

    def drawn(self, image: ArmImage) -> UInt8 | None:
        """A generated image as it was drawn, uint8 [h, w, 3]; None = at the study's size."""
        from synthlift.store.packed import open_originals, unpacked

        if self.store is not None and self.store.has(image.chunk):
            kept = open_originals(self.store.open(image.chunk).folder)
            return None if kept is None else np.asarray(kept[np.array([image.row])][0])
        if image.id not in self._sampled:
            self._sample_again(image)
        file = self._sampled[image.id].original
        return None if file is None else unpacked(file.read_bytes())

    def shares(self, image: ArmImage) -> dict[str, float]:
        """For how much a generated image counts of each class; nothing where its label says all.

        Read from the store, else known of what was sampled again.
        """
        from synthlift.spec.provenance import shares_of
        from synthlift.store.images import SOFT_LABELS

        soft = self._sampled[image.id].soft if image.id in self._sampled else None
        if self.store is not None and self.store.has(image.chunk):
            file = self.store.open(image.chunk).folder / SOFT_LABELS
            soft = np.load(file, mmap_mode="r")[image.row] if file.is_file() else None
        return {} if soft is None else shares_of(soft, self.run.results.study.classes)

    def sample_again(self, images: Sequence[ArmImage]) -> None:
        """Sample what the store no longer has, all at once."""
        store = self.store
        gone = [i for i in images if i.origin == "synthetic" and not (store and store.has(i.chunk))]
        for image in gone[:1]:
            self._sample_again(image, *gone[1:])

    def _sample_again(self, first: ArmImage, *more: ArmImage) -> None:
        from synthlift.api.kept_generators import open_generator
        from synthlift.seeds import seed_for
        from synthlift.study.expecting import CHUNK
        from synthlift.study.halving import halving_of
        from synthlift.study.stages.generation import leaner
        from synthlift.types import SampleRequest

        if first.fit != 0:
            raise InputError(
                f"the images of fit {first.fit + 1} of '{first.generator}' are gone",
                rule="without its store, a run folder keeps the first fit of a generator only",
                remedy=f"choose a replicate of the first fit, or run again: synthlift run "
                f"{shlex.quote(str(self.run.path))}",
            )
        kept = open_generator(self.run.path, name=first.generator)
        images = [first, *more]
        label = {name: k for k, name in enumerate(kept.classes)}
        alike: dict[tuple[int, int], list[tuple[ArmImage, SampleRequest]]] = defaultdict(list)
        halvings = self._halvings(first.generator)
        for image in images:
            cell = Cell(label[image.label], image.attributes)
            request = SampleRequest(
                index=image.index,
                label=cell.label,
                seed=seed_for(kept.seed, "train", *cell.seed_parts, image.index),
                attributes=dict(cell.attributes),
            )
            found = halving_of(halvings, ("train", cell, image.index // CHUNK))
            used = (found.micro_batch, found.savings) if found else (0, 0)
            alike[used].append((image, request))
        # As many together as when they were trained on: it changes their last bits.
        for (together, savings), members in alike.items():
            fitted = leaner(kept.fitted, together, savings=savings)
            batches = fitted.sample([request for _, request in members])
            made = (one for batch in batches for one in self._made_again(batch))
            for (image, _), one in zip(members, made, strict=True):
                self._sampled[image.id] = one

    def _made_again(self, batch: ImageBatch) -> Iterator[SampledAgain]:
        """Images at the study's size; their originals, which may take gigabytes, lie on disk."""
        from synthlift.store.packed import packed

        soft = [None] * len(batch) if batch.soft_labels is None else batch.soft_labels
        for row, (pixels, share) in enumerate(zip(batch.pixels, soft, strict=True)):
            file = None
            if batch.originals is not None:
                file = Path(self._aside.name, f"{next(self._number)}.png")
                file.write_bytes(packed(batch.originals[row]))
            yield SampledAgain(pixels, file, share)

    @cached_property
    def _aside(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="synthlift-originals-")

    def _halvings(self, generator: str) -> list[Halving]:
        """Where memory ran out when the run sampled images of a kept generator."""
        from synthlift.study.halving import halvings_among
        from synthlift.study.pools import fit_name

        fit = read_component(self.run.path / GENERATORS / generator).get("fit", "")
        decisions = {one.name: one.value for one in self.run.results.decisions}
        return halvings_among(decisions, fit=fit_name(generator, fit))


def read_component(folder: Path) -> dict[str, Any]:
    """``component.json`` beside a kept generator.

    Raises:
        InputError: it is missing or damaged.
    """
    try:
        content: dict[str, Any] = json.loads((folder / "component.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise InputError(
            f"'{folder}' holds no generator",
            rule="a kept generator is a folder with component.json and its weights",
            remedy="give the folder of a finished run",
        ) from None
    return content
