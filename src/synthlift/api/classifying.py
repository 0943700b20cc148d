"""What a run's model says about image files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from synthlift.errors import InputError

if TYPE_CHECKING:
    from synthlift.types import UInt8
    from synthlift.vision.prediction import Classifier

MODEL, MODELS, DESCRIPTION, ARM = "model", "models", "model.json", "arm.json"
BLOCK = 256


@dataclass(frozen=True)
class Classification:
    """One image's answer.

    Attributes:
        file: as given.
        label: the most probable class.
        probability: its calibrated probability.
        probabilities: of every class, by name.
    """

    file: str
    label: str
    probability: float
    probabilities: dict[str, float]


def classify(
    run_or_model: Path | str, images: Sequence[Path | str], *, device: str = "cpu"
) -> list[Classification]:
    """Classify image files, or every image below a folder.

    Images are brought to the training size exactly as in training.

    Args:
        run_or_model: a run folder, or a folder with ``model.json``.
        images: files and folders.
        device: torch device string.

    Raises:
        InputError: no model there, or a file is no usable image.
    """
    folder = model_folder(Path(run_or_model).expanduser())
    files = list(_files(images))
    from synthlift.vision.prediction import load_classifier

    classifier = load_classifier(folder, device=device)
    found: list[Classification] = []
    for start in range(0, len(files), BLOCK):
        found.extend(_block(classifier, files[start : start + BLOCK]))
    return found


def model_folder(given: Path) -> Path:
    """The folder that holds the model.

    Raises:
        InputError: there is none.
    """
    for folder in (given, given / MODEL):
        if (folder / DESCRIPTION).is_file():
            return folder
    raise InputError(
        f"'{given}' holds no model",
        rule="a model lies in the folder of a finished run, in its 'model' folder",
        remedy="give the folder of a finished run; `synthlift runs` lists them",
    )


@dataclass(frozen=True)
class KeptModel:
    """A classifier that a run folder keeps.

    Attributes:
        role: ``rival`` (real images only) and ``generative`` of the pair that the verdict compares;
            ``recommended`` where the folder keeps the recommended one alone.
        arm: its name, or "" where the folder does not say.
        folder: with ``model.json``.
    """

    role: Literal["rival", "generative", "recommended"]
    arm: str
    folder: Path


def kept_models(run: Path) -> list[KeptModel]:
    """The pair that a run compares, the rival first; else its recommended model; else nothing."""
    pair = [
        KeptModel(role, _arm_of(run / MODELS / role), run / MODELS / role)
        for role in _PAIR
        if (run / MODELS / role / DESCRIPTION).is_file()
    ]
    if len(pair) == len(_PAIR):
        return pair
    alone = (run / MODEL / DESCRIPTION).is_file()
    return [KeptModel("recommended", "", run / MODEL)] if alone else []


_PAIR: tuple[Literal["rival", "generative"], ...] = ("rival", "generative")


def _arm_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / ARM).read_text(encoding="utf-8"))["arm"])
    except (OSError, ValueError, KeyError):
        return ""


def _files(given: Sequence[Path | str]) -> Iterator[Path]:
    from synthlift.data.decode import EXTENSIONS

    for item in given:
        path = Path(item).expanduser()
        if not path.is_dir():
            yield path
            continue
        below = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in EXTENSIONS]
        if not below:
            raise InputError(
                f"the folder '{item}' holds no image",
                rule="of a folder, every image below it is classified",
                remedy="give image files, or the folder that holds them",
            )
        yield from (p for p in below if p.is_file())


def _block(classifier: Classifier, files: Sequence[Path]) -> list[Classification]:
    facts = classifier.facts
    pixels = np.stack([_read(file, classifier) for file in files])
    answers = classifier.probabilities(pixels)
    return [
        Classification(
            file=str(file),
            label=facts.classes[int(row.argmax())],
            probability=float(row.max()),
            probabilities=dict(zip(facts.classes, map(float, row), strict=True)),
        )
        for file, row in zip(files, answers, strict=True)
    ]


def _read(file: Path, classifier: Classifier) -> UInt8:
    from synthlift.data.decode import read_image
    from synthlift.spec.data import Data

    image = read_image(file, max_pixels=Data().max_pixels, white=classifier.facts.white)
    return as_trained(image.pixels, classifier)


def as_trained(pixels: UInt8, classifier: Classifier) -> UInt8:
    """An image, uint8 [H, W, 1 or 3], brought to the size and channels of the training images."""
    from synthlift.data.sizes import resize

    size, _, channels = classifier.facts.image_shape
    return resize(pixels, size=size, fit=classifier.facts.fit, channels=channels)
