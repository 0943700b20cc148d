"""Taking an arm out of a run: its training images as a folder, with splits, provenance, model."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.classifying import DESCRIPTION, MODEL
from synthlift.api.images import ArmImage, Pixels, arm_images, place, splits
from synthlift.api.run_folder import Run, load
from synthlift.errors import InputError, SynthliftError
from synthlift.spec.arms import Arm

if TYPE_CHECKING:
    from synthlift.types import UInt8

TRAIN, WEIGHTS = "train", "model.safetensors"
COLUMNS = (
    "file",
    "label",
    "origin",
    "pixels",
    "id",
    "group",
    "sha256",
    "generator",
    "fit",
    "index",
)
ORIGINAL, AT_TRAINING_SIZE = "original", "at training size"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the folder.
        real, synthetic: images of each kind.
        reduced: real images written at training size, since their originals are gone.
        model: what the model in ``model/`` is, in words.
    """

    path: Path
    real: int
    synthetic: int
    reduced: int
    model: str


def export(
    run: Run | Path | str,
    *,
    arm: str,
    out: Path | str,
    replicate: int = 0,
    synthetic_only: bool = False,
    progress: Progress = lambda _done, _total, _note: None,
) -> Exported:
    """Write the images that one model of an arm was trained on; test images are never among them.

    ``train/<class>/`` holds the images: real ones copied from the source (checked by content),
    synthetic ones as PNG; ``splits.csv`` names train, validation and test; ``provenance.csv``
    says of each file where it comes from; ``model/`` is the trained classifier.

    Args:
        run: a finished run.
        arm: a name such as ``mixed@2``.
        out: a new or empty folder.
        replicate: which repetition.
        synthetic_only: leave the real images out.
        progress: called as ``progress(done, total, note)``.

    Raises:
        InputError: no such arm, ``out`` is not empty, or images are gone.
    """
    opened = run if isinstance(run, Run) else load(run)
    folder = Path(out).expanduser().absolute()
    record = opened.arm(arm, replicate=replicate)
    images = arm_images(opened, record, replicate=replicate)
    if synthetic_only:
        images = [image for image in images if image.origin == "synthetic"]
    _check(images, folder, arm)
    pixels = Pixels(opened)
    pixels.sample_again(images)
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, image in enumerate(images):
        rows.append(_write(image, pixels, folder))
        progress(number + 1, len(images), "images")
    _write_csv(folder / "provenance.csv", COLUMNS, rows)
    draw, _ = place(opened, replicate)
    table = splits(opened)
    table[table["draw"] == draw].drop(columns="draw").to_csv(folder / "splits.csv", index=False)
    return Exported(
        path=folder,
        real=sum(image.origin == "real" for image in images),
        synthetic=sum(image.origin == "synthetic" for image in images),
        reduced=sum(r["origin"] == "real" and r["pixels"] == AT_TRAINING_SIZE for r in rows),
        model=_write_model(opened, record, replicate, images, pixels, folder / MODEL),
    )


def _check(images: Sequence[ArmImage], folder: Path, arm: str) -> None:
    if not images:
        raise InputError(
            f"arm '{arm}' has no synthetic images",
            rule="--synthetic-only leaves the synthetic images of an arm",
            remedy="name an arm with a generator, or leave --synthetic-only out",
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"'{folder}' is not empty",
            rule="an export is written into a new or empty folder",
            remedy="give another folder with --out",
        )


def _write(image: ArmImage, pixels: Pixels, folder: Path) -> dict[str, Any]:
    """Write one image; returns its line of provenance."""
    target = folder / TRAIN / image.label / _name(image)
    target.parent.mkdir(parents=True, exist_ok=True)
    kind = "generated"
    if image.origin == "synthetic":
        save_png(target, pixels.synthetic(image))
    else:
        kind, target = _write_real(image, pixels, target)
    synthetic = image.origin == "synthetic"
    return {
        "file": target.relative_to(folder).as_posix(),
        "label": image.label,
        "origin": image.origin,
        "pixels": kind,
        "id": image.id,
        "group": image.group,
        "sha256": image.sha256,
        "generator": image.generator,
        "fit": image.fit + 1 if synthetic else "",
        "index": image.index if synthetic else "",
    }


def _write_real(image: ArmImage, pixels: Pixels, target: Path) -> tuple[str, Path]:
    try:
        decoded = pixels.original(image)
    except InputError:
        target = target.with_suffix(".png")
        save_png(target, pixels.training(image))  # raises when the store has none either
        return AT_TRAINING_SIZE, target
    file = pixels.original_file(image)
    if file is not None:
        shutil.copyfile(file, target)
        return ORIGINAL, target
    target = target.with_name(f"{target.name}.png")
    save_png(target, decoded.pixels)
    return ORIGINAL, target


def _name(image: ArmImage) -> str:
    if image.origin == "synthetic":
        return f"synthetic_{image.generator}_fit{image.fit + 1}_{image.index:05d}.png"
    # Files may lie deeper inside a class; "__" keeps equal names of different folders apart.
    below = image.id.partition("/")[2] or image.id
    return below.replace("/", "__")


def save_png(path: Path, pixels: UInt8) -> None:
    """Write uint8 [H, W, C] as PNG."""
    from PIL import Image

    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(path)


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def _write_model(
    run: Run, arm: Arm, replicate: int, images: Sequence[ArmImage], pixels: Pixels, target: Path
) -> str:
    """Copy the arm's own model where the store has it, else the run's; says which it is."""
    found = _model_of(run, arm, replicate, images, pixels)
    source, words = run.path / MODEL, "the run's model; the arm's own is no longer in the store"
    if found is not None:
        source, words = found, f"the model of arm '{arm.name}', replicate {replicate + 1}"
    if not (source / DESCRIPTION).is_file():
        return "none: the run folder holds no model"
    target.mkdir()
    for name in (DESCRIPTION, WEIGHTS):
        shutil.copyfile(source / name, target / name)
    return words


def _model_of(
    run: Run, arm: Arm, replicate: int, images: Sequence[ArmImage], pixels: Pixels
) -> Path | None:
    """The artefact that was trained on exactly these images with this recipe and seed."""
    from synthlift.study.stages.models import model_seed

    seed, (draw, _) = model_seed(run.study.seed, replicate), place(run, replicate)
    recipe = arm.model_dump(mode="json")
    wanted = [(i.chunk, i.row) for i in images if i.origin == "synthetic"]
    if arm.uses_synthetic and not wanted:
        raise SynthliftError(f"arm '{arm.name}' lost its images")
    for artefact in pixels.artefacts("model"):
        config = artefact.record["config"]
        used = [(e["chunk"], row) for e in config["manifest"] for row in e["rows"]]
        same_recipe = all(recipe[key] == value for key, value in config["arm"].items())
        if (
            artefact.record["seed"] == seed
            and config["draw"] == draw
            and same_recipe
            and used == wanted
        ):
            return artefact.folder
    return None
