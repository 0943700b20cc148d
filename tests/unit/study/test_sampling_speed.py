"""The speed that a plan goes by: of many images, without what it takes to begin."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from synthlift.study import previewing
from synthlift.study.stages import measure
from synthlift.study.stages.measure import sampling_seconds
from synthlift.types import FittedGenerator, ImageBatch, ImageSet, SampleRequest

CLASSES = ("crane", "gull")
IMAGES = ImageSet.from_arrays(np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1]), CLASSES)


class InChunks(FittedGenerator):
    """Computes whole chunks, each in the same time, however few images are asked for."""

    def __init__(self, *, chunk: int, image_seconds: float, opening: float) -> None:
        self._chunk, self._seconds = chunk, image_seconds
        self._closed = [opening]
        self.drawn = [0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return 8, 8, 1

    @property
    def micro_batch(self) -> int:
        return self._chunk

    def with_micro_batch(self, micro_batch: int) -> InChunks:
        other = copy.copy(self)
        other._chunk = micro_batch
        return other

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        while self._closed:
            time.sleep(self._closed.pop())
        for start in range(0, len(requests), self._chunk):
            part = requests[start : start + self._chunk]
            time.sleep(self._chunk * self._seconds)
            self.drawn[0] += self._chunk
            labels = np.array([one.label for one in part])
            yield ImageBatch(np.zeros((len(part), 8, 8, 1), np.uint8), labels)

    def save(self, folder: Path) -> None:
        raise NotImplementedError(folder)


class Opens(InChunks):
    """Can be opened before it draws."""

    def opened(self) -> Opens:
        while self._closed:
            time.sleep(self._closed.pop())
        return self


def test_a_chunk_and_the_opening_are_not_taken_for_one_image() -> None:
    generator = InChunks(chunk=32, image_seconds=0.002, opening=0.4)
    found = sampling_seconds(generator, IMAGES, count=16)
    assert found == pytest.approx(0.002, rel=0.5)


def test_a_slow_generator_is_known_by_a_single_image() -> None:
    generator = InChunks(chunk=16, image_seconds=1.05, opening=0.0)
    found = sampling_seconds(generator, IMAGES, count=16)
    assert found == pytest.approx(1.05, rel=0.1)
    assert generator.drawn == [2]


def test_opening_that_takes_long_is_not_taken_for_a_slow_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measure, "PATIENT_SECONDS", 0.3)
    generator = Opens(chunk=4, image_seconds=0.002, opening=0.5)
    assert sampling_seconds(generator, IMAGES, count=16) < 0.1


def test_a_preview_times_drawing_without_opening() -> None:
    generator = Opens(chunk=4, image_seconds=0.002, opening=0.5)
    session: Any = SimpleNamespace(study=SimpleNamespace(seed=0))
    data: Any = SimpleNamespace(classes=CLASSES)
    rate, seen = previewing._sampled(session, generator, "slow", data, seconds=5.0, count=8)
    assert rate is not None
    assert rate > 100
    assert [len(drawn) for drawn in seen.pictures.values()] == [8, 8]
