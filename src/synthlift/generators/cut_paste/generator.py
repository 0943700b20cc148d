"""Cut-and-paste: objects of a class from their masks, onto other images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthlift.errors import InputError, nearest_name
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.cut_paste.composing import Composed, compose, cut
from synthlift.generators.cut_paste.config import CutPasteConfig, allows_as_it_was, as_it_was
from synthlift.seeds import generator_for
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    GuardedPixels,
    ImageBatch,
    InputsGenerator,
    Int64,
    RunContext,
    SampleRequest,
)

FACTS = "cut_paste.json"
AT_ONCE = 64
BACKGROUNDS_TRIED = 10

Rows = NDArray[np.intp]


class CutPasteGenerator(InputsGenerator):
    """Learns nothing: notes which training images hold objects and which can be pasted onto."""

    def __init__(self, config: CutPasteConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> CutPasteFitted:
        """Find objects and backgrounds.

        Raises:
            InputError: no masks, no object in any of them, an unknown class of backgrounds, or no
                background.
        """
        del run
        vocabulary = Vocabulary.of(inputs.train)
        for name in self.config.backgrounds:
            if name not in vocabulary.classes:
                raise InputError(
                    f"backgrounds of class '{name}'{nearest_name(name, vocabulary.classes)}",
                    rule=f"the classes are: {', '.join(vocabulary.classes)}",
                    remedy="name one of them, or leave 'backgrounds' out",
                )
        covered = _covered(inputs)
        objects = np.flatnonzero(covered & (inputs.train.labels >= 0))
        if not len(objects):
            raise InputError(
                "no mask of a training image shows an object",
                rule="cut-and-paste cuts out what masks mark (values other than 0)",
                remedy="check data.masks: masks are found by the image's path or name",
            )
        wanted = [vocabulary.classes.index(name) for name in self.config.backgrounds]
        labels, warnings = inputs.train.labels, list[str]()
        if wanted:
            grounds = np.isin(labels, wanted)
        else:
            grounds, warnings = _bare(labels, covered)
        if not grounds.any():
            raise InputError(
                "there is no image to paste onto",
                rule="backgrounds are images whose masks mark nothing, or the classes under "
                "'backgrounds'",
                remedy="name classes under 'backgrounds', such as the one without flaws",
            )
        facts = {
            **vocabulary.as_json(),
            "config": self.config.model_dump(mode="json"),
            "objects": inputs.train.ids[objects].tolist(),
            "backgrounds": inputs.train.ids[np.flatnonzero(grounds)].tolist(),
            **({"warnings": warnings} if warnings else {}),
        }
        return CutPasteFitted(inputs, facts)

    def reload(self, folder: Path, *, inputs: FitInputs, device: str = "cpu") -> CutPasteFitted:
        """Read back what was noted; images and masks come with the inputs."""
        del device
        return CutPasteFitted(inputs, json.loads((folder / FACTS).read_text("utf-8")))


class CutPasteFitted(FittedGenerator):
    """Objects and backgrounds.

    Args:
        inputs: the training images and masks.
        facts: settings, and the ids of images with objects and of backgrounds.
    """

    def __init__(self, inputs: FitInputs, facts: Mapping[str, Any]) -> None:
        self._train, self._masks = inputs.train, _masks(inputs)
        self._facts = dict(facts)
        self._vocabulary = Vocabulary.from_json(facts)
        self._config = CutPasteConfig.model_validate(facts["config"])
        where = {name: row for row, name in enumerate(self._train.ids.tolist())}
        # By id, so that the order of files changes nothing.
        self._objects = np.array([where[name] for name in sorted(facts["objects"])], np.intp)
        self._grounds = np.array([where[name] for name in sorted(facts["backgrounds"])], np.intp)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the training images."""
        return self._train.image_shape

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield composed images with masks, in order of the requests.

        It ends at the first request without objects of its class, or among its sources: none can
        be made.

        Raises:
            InputError: an unknown class, or objects too large for any place.
        """
        for request in requests:
            self._vocabulary.require(request)
        able = [len(self._objects_for(request)) > 0 for request in requests]
        count = (*able, False).index(False)
        for start in range(0, count, AT_ONCE):
            members = requests[start : min(start + AT_ONCE, count)]
            made = [self._compose(request) for request in members]
            yield ImageBatch(
                pixels=np.stack([one.pixels for one, _ in made]),
                labels=np.array([request.label for request in members], dtype=np.int64),
                masks=np.stack([one.mask for one, _ in made]),
                origins=tuple(origin for _, origin in made),
            )

    def save(self, folder: Path) -> None:
        """Write what was noted; no image."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).write_text(json.dumps(self._facts, indent=1), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """Settings, classes, and how many objects and backgrounds there are."""
        lists = ("objects", "backgrounds")
        return {k: len(v) if k in lists else v for k, v in self._facts.items()}

    def _compose(self, request: SampleRequest) -> tuple[Composed, str]:
        rng = generator_for(request.seed, "cut_paste")
        mine = self._objects_for(request)
        low, high = self._config.objects
        # An object nearly as large as the image may fit in one way only: as it was, where it was.
        attempts = [self._config] * BACKGROUNDS_TRIED
        attempts += [as_it_was(self._config)] * BACKGROUNDS_TRIED * allows_as_it_was(self._config)
        for config in attempts:
            chosen = rng.choice(mine, size=int(rng.integers(low, high + 1)))
            ground = rng.choice(self._grounds, size=1)
            cutouts = [
                cut(image, mask[:, :, 0] > 0)
                for image, mask in zip(
                    self._train.pixels(chosen), self._masks.read(chosen), strict=True
                )
            ]
            occupied = self._masks.read(ground)[0, :, :, 0] > 0
            found = compose(self._train.pixels(ground)[0], occupied, cutouts, config, rng)
            if found is not None:
                names = " and ".join(self._train.ids[chosen].tolist())
                return found, f"{names} on {self._train.ids[ground][0]}"
        raise InputError(
            f"objects of class '{self._vocabulary.classes[request.label]}' find no place: "
            f"{BACKGROUNDS_TRIED} backgrounds were tried, {self._config.tries} places on each",
            rule=f"at least {self._config.inside:.0%} of an object must lie inside the image"
            + (", clear of other objects" if self._config.apart else ""),
            remedy="lower 'scale' or 'inside', raise 'tries', or set apart: false",
        )

    def _objects_for(self, request: SampleRequest) -> Rows:
        mine: Rows = self._objects[self._train.labels[self._objects] == request.label]
        if request.sources:
            mine = mine[np.isin(self._train.ids[mine], request.sources)]
        return mine


def _masks(inputs: FitInputs) -> GuardedPixels:
    if inputs.masks is None:
        raise InputError(
            "the data have no masks",
            rule="cut-and-paste needs a mask for the images that it cuts objects out of",
            remedy="name their folder or column under data.masks",
        )
    return inputs.masks


def _covered(inputs: FitInputs) -> NDArray[np.bool_]:
    masks, count = _masks(inputs), len(inputs.train)
    found = np.zeros(count, dtype=np.bool_)
    for start in range(0, count, 512):
        rows = np.arange(start, min(start + 512, count))
        found[rows] = masks.read(rows).any(axis=(1, 2, 3))
    return found


def _bare(labels: Int64, covered: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[str]]:
    """Images that show no object, as far as masks tell, and what is to be said of them.

    A mask that is missing, or too thin for the study's size, marks nothing: its image may show an
    object. So classes are preferred of which no image has one.
    """
    free = (labels >= 0) & ~np.isin(labels, labels[covered])
    if free.any():
        return free, []
    bare = ~covered
    warning = (
        "In every class masks mark something, so objects were pasted onto all "
        f"{bare.sum():,} images whose masks mark nothing: of one whose mask is missing, or too "
        "thin for the study's size, nobody knows whether it shows an object. Name classes under "
        "'backgrounds'."
    )
    return bare, [warning] if bare.any() else []
