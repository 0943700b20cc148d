"""Images that were made elsewhere: a fixed stock, each given once or under new conditions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.pool.config import POOL, PoolConfig
from synthlift.generators.pool.randomising import randomise
from synthlift.seeds import generator_for
from synthlift.spec.provenance import SHARES, shares_told
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    Float32,
    ImageBatch,
    ImageSet,
    InputsGenerator,
    RunContext,
    SampleRequest,
    UInt8,
)

FACTS = "pool.json"
RESERVED_AT_MOST = 64
"""Images of a class that are kept for tests: as many as other generators make for it."""
AT_ONCE = 256


class PoolGenerator(InputsGenerator):
    """Gives the images of a pool in an order that its seed decides; nothing is learnt."""

    def __init__(self, config: PoolConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> PoolFitted:
        """Count what there is.

        Raises:
            InputError: no image is left, or there is no attribute of one of the names.
        """
        stock = inputs.sources[POOL]
        if not len(stock):
            raise InputError(
                f"the pool '{self.config.source}' has no image left",
                rule="pictures of the test set are left out of a pool",
                remedy="give a pool of other images",
            )
        facts = {
            **Vocabulary.of(stock, self.config.attributes).as_json(),
            "config": self.config.model_dump(mode="json"),
            "seed": run.seed,
        }
        return PoolFitted(stock, facts, train=inputs.train)

    def reload(self, folder: Path, *, inputs: FitInputs, device: str = "cpu") -> PoolFitted:
        """Read back the order; the images come with the inputs."""
        del device
        facts = json.loads((folder / FACTS).read_text("utf-8"))
        return PoolFitted(inputs.sources[POOL], facts, train=inputs.train)


class PoolFitted(FittedGenerator):
    """A pool in a certain order.

    Args:
        stock: the images.
        facts: settings, seed and counts, JSON-able.
        train: training images, to whose tones ``style`` goes.
    """

    def __init__(self, stock: ImageSet, facts: Mapping[str, Any], *, train: ImageSet) -> None:
        self._stock, self._facts, self._train = stock, dict(facts), train
        self._vocabulary = Vocabulary.from_json(facts)
        self._config = PoolConfig.model_validate(facts["config"])
        self._orders: dict[tuple[object, ...], NDArray[np.intp]] = {}

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the study: pools are brought to its size."""
        return self._stock.image_shape

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield the images at the requested places of their cells; ends where one has no more.

        Raises:
            InputError: a class, attribute or value that the pool does not know.
        """
        self._require(requests)
        for start in range(0, len(requests), AT_ONCE):
            wanted = requests[start : start + AT_ONCE]
            places = [self._place(request) for request in wanted]
            rows = np.array(places[: (*places, None).index(None)], dtype=np.intp)
            if len(rows):
                yield self._batch(rows, wanted[: len(rows)])
            if len(rows) < len(wanted):
                return

    def _batch(self, rows: NDArray[np.intp], wanted: Sequence[SampleRequest]) -> ImageBatch:
        pixels, origins = self._stock.pixels(rows), self._stock.ids[rows].tolist()
        given = self._config.randomise
        if given is not None:
            for place, request in enumerate(wanted):
                look = self._look(request) if given.style else None
                drawn = randomise(pixels[place], given, seed=request.seed, look=look)
                pixels[place] = drawn.pixels
                said = ", ".join(f"{name} {x:.3g}" for name, x in drawn.parameters.items())
                origins[place] += f" ({said or 'unchanged'})"
        labels, soft = self._stock.labels[rows], self._soft_labels(rows)
        return ImageBatch(pixels, labels, soft_labels=soft, origins=tuple(origins))

    def _soft_labels(self, rows: NDArray[np.intp]) -> Float32 | None:
        """Class probabilities [n, K]; None where no image of the pool lies between classes."""
        said = self._stock.attributes.get(SHARES)
        if said is None:
            return None
        classes, ours = self._vocabulary.classes, self._config.classes
        found = np.eye(len(classes), dtype=np.float32)[self._stock.labels[rows]]
        for place, row in enumerate(rows.tolist()):
            made_for, told = shares_told(str(said[row]))
            label = self._stock.labels[row]
            # Whoever moved the image to another class, or labelled it anew, goes before its file.
            if made_for is not None and ours.get(made_for, made_for) != classes[label]:
                continue
            shares = np.zeros(len(classes))
            for name, share in told.items():
                if ours.get(name, name) in classes:
                    shares[classes.index(ours.get(name, name))] += share
            if shares[label] > 0:
                found[place] = shares / shares.sum()
        return found

    def _look(self, request: SampleRequest) -> UInt8:
        """A training image of the class; of any class, where it has none."""
        own = np.flatnonzero(self._train.labels == request.label)
        rows = own if len(own) else np.arange(len(self._train))
        row = generator_for(request.seed, "look").choice(rows)
        look: UInt8 = self._train.pixels(np.array([row]))[0]
        return look

    def save(self, folder: Path) -> None:
        """Write the order's seed and what is known of the pool; no image."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).write_text(json.dumps(self._facts, indent=1), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """Settings, classes and counts, for the report."""
        return dict(self._facts)

    def _require(self, requests: Sequence[SampleRequest]) -> None:
        count = len(self._vocabulary.classes)
        for request in requests:
            if not 0 <= request.label < count or request.attributes:
                self._vocabulary.require(request)

    def _place(self, request: SampleRequest) -> int | None:
        """Row of the image at a request's index, or None beyond the last one.

        Every image comes once before any comes again.
        """
        asked = tuple(sorted(request.attributes.items()))
        order = self._order(request.label, request.stream, asked)
        if request.index >= self._config.repeats * len(order):
            return None
        return int(order[request.index % len(order)])

    def _order(
        self, label: int, stream: str, asked: tuple[tuple[str, str], ...]
    ) -> NDArray[np.intp]:
        key = (label, stream, asked)
        if key not in self._orders:
            rows = np.flatnonzero(self._stock.labels == label)
            # By id, so that the order of files changes nothing.
            rows = rows[np.argsort(self._stock.ids[rows], kind="stable")]
            rows = generator_for(self._facts["seed"], "pool", label).permutation(rows)
            kept = min(RESERVED_AT_MOST, int(self._config.reserved * len(rows)))
            rows = rows[len(rows) - kept :] if stream == "test" else rows[: len(rows) - kept]
            for name, value in asked:
                rows = rows[self._stock.attributes[name][rows] == value]
            self._orders[key] = rows.astype(np.intp)
        return self._orders[key]
