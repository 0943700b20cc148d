"""What the stage functions share: reading their inputs back from a request."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from synthlift.registry import load_plugin
from synthlift.rows import FeatureRows
from synthlift.store import StageContext, StageRequest, Store
from synthlift.store.images import (
    DataKeys,
    Part,
    locked_test,
    members,
    read_beside,
    read_masks,
    read_part,
)
from synthlift.store.keys import canonical
from synthlift.types import Encoder, FitInputs, GuardedPixels, ImageSet, RunContext

if TYPE_CHECKING:
    from synthlift.vision.clip.matching import ClipMatch
    from synthlift.vision.prediction import Classifier

MANY = 10_000
"""Above so many training images a worker keeps what it made of two fits instead of eight."""
SOURCE = "source "
"""Inputs of a fit whose role begins so are images that the generator's Config names."""


def data_keys(request: StageRequest) -> DataKeys:
    """The data set's three artefacts."""
    return cast(DataKeys, {role: request.one(role) for role in ("inventory", "pixels", "split")})


def part(request: StageRequest, store: Store, name: Part) -> ImageSet:
    """Training, validation or pool images of the request's draw."""
    return read_part(store, data_keys(request), draw=request.config["draw"], part=name)


def fit_inputs(request: StageRequest, store: Store) -> FitInputs:
    """Everything that a generator or filter may see; the test set as a lock."""
    train, validation = part(request, store, "train"), part(request, store, "validation")
    test = locked_test(store, data_keys(request), draw=request.config["draw"])
    judging = {*test.ids.tolist(), *validation.ids.tolist()}
    return FitInputs(
        train=train,
        validation=validation,
        test=test,
        unlabelled=unlabelled(request, store),
        masks=_masks(request, store, "train"),
        validation_masks=_masks(request, store, "validation"),
        sources={
            role.removeprefix(SOURCE): _beside(store, keys, train.classes, judging=judging)
            for role, keys in request.inputs.items()
            if role.startswith(SOURCE) and isinstance(keys, list)
        },
    )


def _masks(
    request: StageRequest, store: Store, part: Literal["train", "validation"]
) -> GuardedPixels | None:
    if "masks" not in request.inputs:
        return None
    key = request.one("masks")
    return read_masks(store, data_keys(request), key, draw=request.config["draw"], part=part)


def unlabelled(request: StageRequest, store: Store) -> ImageSet | None:
    """What the split leaves unlabelled, and pools; no picture of the data set is shown twice."""
    sets = [part(request, store, "unlabelled")]
    keys = list(request.inputs.get("unlabelled", ()))
    for start in range(0, len(keys), 3):
        found = _beside(store, keys[start : start + 3], sets[0].classes, judging=None)
        sets.append(found.without_labels())
    sets = [one for one in sets if len(one)]
    return ImageSet.joined(sets) if sets else None


def _beside(
    store: Store, keys: Sequence[str], classes: tuple[str, ...], *, judging: set[str] | None
) -> ImageSet:
    """Images beside the data set without those that show a picture of it.

    With ``judging``, only pictures of these (validation and test) images are left out: in an
    imported pool, the copying check is there to find those of training images.
    """
    inventory, pixels, overlap = keys
    pairs = store.open(overlap).summary["pairs"]
    shown = {theirs for theirs, ours in pairs if judging is None or ours in judging}
    return read_beside(store, inventory=inventory, pixels=pixels, classes=classes, left_out=shown)


def run_context(request: StageRequest, context: StageContext) -> RunContext:
    """The component's view of this unit of work."""
    return RunContext(
        folder=context.work,
        seed=request.seed,
        device=request.device,
        progress=context.progress,
        log=context.log,
    )


def load_plugins(request: StageRequest) -> None:
    """Register the study's plug-in files in this worker."""
    for path in request.local.get("plugins", ()):
        load_plugin(Path(path))


def classifier(store: Store, key: str) -> Classifier:
    """Load a committed model."""
    from synthlift.vision.prediction import load_classifier

    return load_classifier(store.open(key).folder)


def text_match(config: Mapping[str, Any], classes: Sequence[str]) -> ClipMatch | None:
    """The CLIP checkpoint of a request's settings beside its classes; None where there is none."""
    if config.get("clip") is None:
        return None
    return _opened_clip(canonical(config["clip"]), tuple(classes))


@functools.lru_cache(maxsize=1)
def _opened_clip(checkpoint: str, classes: tuple[str, ...]) -> ClipMatch:
    from synthlift.vision.clip.config import ClipCheckpoint
    from synthlift.vision.clip.matching import ClipMatch

    return ClipMatch(ClipCheckpoint.model_validate_json(checkpoint), classes=classes)


@dataclass(frozen=True)
class Reference:
    """How images are compared with the training images of a fit.

    Attributes:
        encoder: random convolutions beside the features of a classifier trained on them.
        features: what it gives for the training images [N, D].
    """

    encoder: Encoder
    features: FeatureRows


def reference(request: StageRequest, store: Store) -> Reference:
    """The reference of the request's draw and ``scorer``; a worker keeps those it made last."""
    make = _reference_of_many if has_many(request, store) else _reference_of_few
    keys = data_keys(request)
    place = (keys["inventory"], keys["pixels"], keys["split"], request.config["draw"])
    return make(store.root, *place, request.one("scorer"))


def has_many(request: StageRequest, store: Store) -> bool:
    """Whether the request's draw has more than :data:`MANY` training images."""
    return len(members(store, data_keys(request), request.config["draw"], "train")) > MANY


def _reference(
    root: Path, inventory: str, pixels: str, split: str, draw: int, scorer: str
) -> Reference:
    from synthlift.vision.encoders import CallableEncoder, RandomConvolutions, joined_features

    store = Store(root)
    keys: DataKeys = {"inventory": inventory, "pixels": pixels, "split": split}
    train = read_part(store, keys, draw=draw, part="train")
    trained = CallableEncoder(name="classifier", features=classifier(store, scorer).features)
    parts: list[Encoder] = [RandomConvolutions(), trained]
    return Reference(*joined_features(parts, pixels=train.source, folder=store.scratch()))


_reference_of_few = functools.lru_cache(maxsize=8)(_reference)
_reference_of_many = functools.lru_cache(maxsize=2)(_reference)
