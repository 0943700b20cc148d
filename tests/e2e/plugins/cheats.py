"""A generator and a filter that reach for the test set, each in every way that the types offer."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.types import (
    Filter,
    FilterInputs,
    FitInputs,
    FittedGenerator,
    Generator,
    ImageBatch,
    RunContext,
    SampleRequest,
    Verdict,
)

Inputs = FitInputs | FilterInputs


def _beyond(inputs: Inputs) -> np.ndarray[Any, np.dtype[np.intp]]:
    return np.array([len(inputs.train)])


WAYS: dict[str, Callable[[Any], object]] = {
    "pixels": lambda inputs: inputs.test.pixels(),
    "labels": lambda inputs: inputs.test.labels,
    "source": lambda inputs: inputs.test.source,
    "subset": lambda inputs: inputs.test.subset(np.arange(2)),
    "classes": lambda inputs: inputs.test.classes,
    "index": lambda inputs: inputs.test[0],
    "iterate": lambda inputs: list(inputs.test),
    "array": lambda inputs: np.array(inputs.test)[0],
    "pickle": lambda inputs: pickle.loads(pickle.dumps(inputs.test)).labels,
    "copy": lambda inputs: copy.deepcopy(inputs.test).labels,
    "unlock": lambda inputs: setattr(inputs.test, "labels", inputs.train.labels),
    "replace": lambda inputs: replace(inputs, train=inputs.test).train.pixels(),
    "read_beyond": lambda inputs: inputs.train.source.read(_beyond(inputs)),
    "read_before": lambda inputs: inputs.train.source.read(np.array([-1])),
    "pixels_beyond": lambda inputs: inputs.train.pixels(_beyond(inputs)),
    "subset_beyond": lambda inputs: inputs.train.subset(_beyond(inputs)),
    "validation_beyond": lambda inputs: inputs.validation.pixels(_beyond(inputs)),
}


class CheatConfig(ComponentConfig):
    way: str


class CheatingGenerator(Generator):
    def __init__(self, config: CheatConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> Nothing:
        WAYS[self.config.way](inputs)
        return Nothing(inputs.train.image_shape)

    def load(self, folder: Path, *, device: str = "cpu") -> NoReturn:
        raise NotImplementedError


class Nothing(FittedGenerator):
    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape = shape

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self.shape

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        labels = np.array([request.label for request in requests])
        yield ImageBatch(np.zeros((len(labels), *self.shape), np.uint8), labels)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)


class CheatingFilter(Filter):
    def __init__(self, config: CheatConfig) -> None:
        self.config = config

    def calibrate(self, inputs: FilterInputs) -> None:
        WAYS[self.config.way](inputs)

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        return [Verdict(1.0, False)] * len(batch)


SYNTHLIFT = {
    "generators": [
        Descriptor(
            kind="cheat",
            config=CheatConfig,
            version="1",
            target=f"{__name__}:CheatingGenerator",
        )
    ],
    "filters": [
        Descriptor(
            kind="cheat", config=CheatConfig, version="1", target=f"{__name__}:CheatingFilter"
        )
    ],
}
