"""What the stage functions share: reading their inputs back from a request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from synthlift.registry import load_plugin
from synthlift.store import StageContext, StageRequest, Store
from synthlift.store.images import DataKeys, Part, locked_test, read_part
from synthlift.types import Encoder, FitInputs, ImageSet, RunContext

if TYPE_CHECKING:
    from synthlift.vision.prediction import Classifier


def data_keys(request: StageRequest) -> DataKeys:
    """The data set's three artefacts."""
    return cast(DataKeys, {role: request.one(role) for role in ("inventory", "pixels", "split")})


def part(request: StageRequest, store: Store, name: Part) -> ImageSet:
    """Training, validation or pool images of the request's draw."""
    return read_part(store, data_keys(request), draw=request.config["draw"], part=name)


def fit_inputs(request: StageRequest, store: Store) -> FitInputs:
    """Everything that a generator or filter may see; the test set as a lock."""
    return FitInputs(
        train=part(request, store, "train"),
        validation=part(request, store, "validation"),
        test=locked_test(store, data_keys(request), draw=request.config["draw"]),
    )


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


def encoder_with(scorer: Classifier, train: ImageSet) -> Encoder:
    """Random convolutions beside the features of a classifier trained on ``train``."""
    from synthlift.vision.encoders import CallableEncoder, RandomConvolutions, join_encoders

    trained = CallableEncoder(name="classifier", features=scorer.features)
    return join_encoders([RandomConvolutions(), trained], pixels=train.pixels())
