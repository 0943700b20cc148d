"""What a run's model says about image files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from synthlift.errors import InputError

if TYPE_CHECKING:
    from synthlift.spec.data import Data
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
        evidence_inside: with masks, the share of what speaks for the class (Grad-CAM) that lies
            inside the image's mask; None without a mask, or where nothing speaks for it.
        mask_covers: the share of the picture that the mask covers, as the model takes it: what
            evidence spread anyhow would reach.
    """

    file: str
    label: str
    probability: float
    probabilities: dict[str, float]
    evidence_inside: float | None = None
    mask_covers: float | None = None


def classify(
    run_or_model: Path | str,
    images: Sequence[Path | str],
    *,
    masks: Path | str | None = None,
    device: str = "cpu",
) -> list[Classification]:
    """Classify image files, or every image below a folder.

    Images are brought to the training size exactly as in training.

    Args:
        run_or_model: a run folder, or a folder with ``model.json``.
        images: files and folders.
        masks: a folder in which masks lie as the images lie in theirs; it is then said how much of
            each explanation lies inside them.
        device: auto, cpu, cuda:N or mps.

    Raises:
        InputError: no model there, no such device, or a file is no usable image; with masks
            besides: none fits, one has another size, or the model has no map of places.
    """
    folder = model_folder(Path(run_or_model).expanduser())
    named = list(_files(images))
    files = [file for file, _ in named]
    masked = _masks(masks, named) if masks is not None else None
    from synthlift.study.devices import choose_device
    from synthlift.vision.prediction import load_classifier

    load_plugins_for(folder)
    data = _data_of(folder)
    classifier = load_classifier(folder, device=choose_device(device))
    found: list[Classification] = []
    for start in range(0, len(files), BLOCK):
        block = files[start : start + BLOCK]
        read = [_read(file, classifier, max_pixels=data.max_pixels) for file in block]
        pixels = np.stack([image for image, _ in read])
        answers = _block(classifier, block, pixels)
        if masked is not None:
            answers = _checked(classifier, answers, pixels, [s for _, s in read], masked)
        found.extend(answers)
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
    """The pair that a run compares, the rival first, or that alone where it compares nothing.

    Where it keeps neither, its recommended model; else nothing.
    """
    pair = [
        KeptModel(role, _arm_of(run / MODELS / role), run / MODELS / role)
        for role in _PAIR
        if (run / MODELS / role / DESCRIPTION).is_file()
    ]
    if pair and pair[0].role == "rival":
        return pair
    alone = (run / MODEL / DESCRIPTION).is_file()
    return [KeptModel("recommended", "", run / MODEL)] if alone else []


_PAIR: tuple[Literal["rival", "generative"], ...] = ("rival", "generative")


def _arm_of(folder: Path) -> str:
    try:
        return str(json.loads((folder / ARM).read_text(encoding="utf-8"))["arm"])
    except (OSError, ValueError, KeyError):
        return ""


def _files(given: Sequence[Path | str]) -> Iterator[tuple[Path, str]]:
    """Files, and what each is called below the folder that was given."""
    from synthlift.data.decode import EXTENSIONS

    for item in given:
        path = Path(item).expanduser()
        if not path.is_dir():
            yield path, path.name
            continue
        below = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in EXTENSIONS]
        if not below:
            raise InputError(
                f"the folder '{item}' holds no image",
                rule="of a folder, every image below it is classified",
                remedy="give image files, or the folder that holds them",
            )
        yield from ((p, p.relative_to(path).as_posix()) for p in below if p.is_file())


def _masks(folder: Path | str, named: Sequence[tuple[Path, str]]) -> dict[str, Path]:
    from synthlift.data.masks import masks_in

    names = {str(file): name for file, name in named}
    return masks_in(Path(folder).expanduser(), names=names)


def _block(classifier: Classifier, files: Sequence[Path], pixels: UInt8) -> list[Classification]:
    facts = classifier.facts
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


def _checked(
    classifier: Classifier,
    answers: Sequence[Classification],
    pixels: UInt8,
    sizes: Sequence[tuple[int, int]],
    masks: Mapping[str, Path],
) -> list[Classification]:
    """The same answers, with how much of each explanation lies inside the image's mask."""
    from synthlift.data.masks import mask_as_shown
    from synthlift.data.sizes import resize_mask
    from synthlift.vision.saliency import evidence_inside, grad_cam

    facts = classifier.facts
    labels = np.array([facts.classes.index(answer.label) for answer in answers])
    maps = grad_cam(classifier, pixels, classes=labels)
    if maps is None:
        raise InputError(
            "this model has no map of places to hold against masks",
            rule="explanations are Grad-CAM, which needs a convolutional network",
            remedy="leave the masks out, or train another classifier",
        )
    found = []
    for answer, size, heat in zip(answers, sizes, maps, strict=True):
        if answer.file in masks:
            mask = mask_as_shown(masks[answer.file], name=answer.file, image=size)
            mask = resize_mask(mask, size=facts.image_shape[0], fit=facts.fit)
            share, covers = evidence_inside(heat, mask), float((mask > 0).mean())
            answer = replace(answer, evidence_inside=share, mask_covers=covers)
        found.append(answer)
    return found


def load_plugins_for(model: Path) -> None:
    """Register the plug-ins of a model's run where its classifier is one of them.

    Args:
        model: the folder that holds it.

    Raises:
        InputError: a plug-in file is gone or cannot be used.
    """
    from synthlift.api.sources import ask_with_plugins
    from synthlift.registry import available
    from synthlift.vision.prediction import read_facts

    run = _run_of(model)
    if run is not None and read_facts(model).kind not in available("classifiers"):
        ask_with_plugins(run)


def _run_of(model: Path) -> Path | None:
    """The run folder that a model lies in; None for a model alone."""
    from synthlift.api.sources import is_run_folder

    above = list(model.absolute().parents)[:2]  # model/, or models/rival/
    return next((folder for folder in above if is_run_folder(folder)), None)


def _data_of(model: Path) -> Data:
    """How a model's run reads images; as usual for a model alone."""
    from synthlift.api.sources import ask
    from synthlift.spec.data import Data

    run = _run_of(model)
    return Data() if run is None else ask(run).study.data


def _read(file: Path, classifier: Classifier, *, max_pixels: int) -> tuple[UInt8, tuple[int, int]]:
    """An image as the model takes it, and its own width and height."""
    from synthlift.data.decode import read_image

    image = read_image(file, max_pixels=max_pixels, white=classifier.facts.white)
    height, width = image.pixels.shape[:2]
    return as_trained(image.pixels, classifier), (width, height)


def as_trained(pixels: UInt8, classifier: Classifier) -> UInt8:
    """An image, uint8 [H, W, 1 or 3], brought to the size and channels of the training images."""
    from synthlift.data.sizes import resize

    size, _, channels = classifier.facts.image_shape
    return resize(pixels, size=size, fit=classifier.facts.fit, channels=channels)
