"""``export``: check what is asked, write the images, the card, and what belongs beside them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synthlift.api.classifying import DESCRIPTION, MODEL, kept_models
from synthlift.api.exporting.card import CARD, HUB_CARD, Told, data_card, hub_card
from synthlift.api.exporting.entries import (
    AT_TRAINING_SIZE,
    DECODED,
    TRAIN,
    VALIDATION,
    Entry,
    File,
    entries_of,
    files_of,
)
from synthlift.api.exporting.formats import FORMATS, Format, write
from synthlift.api.exporting.guards import arm_of, require_no_copies, require_terms
from synthlift.api.images import GENERATORS, Pixels
from synthlift.api.run_folder import Run, load
from synthlift.api.training_sets import arm_images, place, splits
from synthlift.errors import InputError, SynthliftError, nearest_name
from synthlift.spec.arms import Arm
from synthlift.spec.provenance import LICENCE, SHARES
from synthlift.study.folder import artefact_keys

WEIGHTS, SPLITS = "model.safetensors", "splits.csv"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the folder.
        real, synthetic: images of each kind.
        reduced: real images written at training size, since their originals are gone.
        decoded: real images written as PNG, since their headers could not be taken off.
        model: what the model in ``model/`` is, in words.
    """

    path: Path
    real: int
    synthetic: int
    reduced: int
    decoded: int
    model: str


def export(
    run: Run | Path | str,
    *,
    arm: str,
    out: Path | str,
    form: str = "imagefolder",
    replicate: int = 0,
    synthetic_only: bool = False,
    accept_copies: bool = False,
    accept_terms: bool = False,
    by_hand: bool = False,
    progress: Progress = lambda _done, _total, _note: None,
) -> Exported:
    """Write the images that one model of an arm was trained on; test images are never among them.

    Real images come from the source (checked by content) without their headers, synthetic ones as
    PNG that says what it is. A data card lies beside them.

    Args:
        run: a finished run.
        arm: a name such as ``mixed@2``.
        out: a new or empty folder.
        form: ``imagefolder`` = ``train/<class>/``, ``splits.csv``, ``provenance.csv`` and the
            trained classifier in ``model/``; ``csv`` = ``images/`` and ``metadata.csv``;
            ``parquet`` = a file a split; ``hf`` = a data set as the Hugging Face Hub keeps it. All
            but the first hold the validation images too.
        replicate: which repetition.
        synthetic_only: leave the real images out.
        accept_copies: export although the generator failed the copying gate.
        accept_terms: export although the source may not be redistributed.
        by_hand: let verdicts by hand count, see :func:`~synthlift.api.training_sets.arm_images`;
            where they change the images, no model is written: none was trained on these.
        progress: called as ``progress(done, total, note)``.

    Raises:
        InputError: no such arm or format, ``out`` is not empty, images are gone, or the copying
            gate or the source's terms forbid it. Nothing is written then.
    """
    opened = run if isinstance(run, Run) else load(run)
    chosen = _format(form)
    record, trained = arm_of(opened, arm, replicate=replicate)
    require_no_copies(opened, record, accepted=accept_copies)
    require_terms(opened, accepted=accept_terms)
    folder = _free(Path(out).expanduser().absolute())
    pixels = Pixels(opened)
    parts = (TRAIN,) if synthetic_only or chosen == "imagefolder" else (TRAIN, VALIDATION)
    entries = entries_of(
        opened,
        record,
        pixels,
        replicate=replicate,
        parts=parts,
        real=not synthetic_only,
        by_hand=by_hand,
    )
    changed = by_hand and _changed(opened, record, entries, replicate=replicate)
    _require_images(entries, record, synthetic_only=synthetic_only)
    draw, fit = place(opened, replicate, generator=record.generator)
    with _whole(folder) as making:
        files = _counted(files_of(entries, pixels), len(entries), progress)
        classes = opened.results.study.classes
        written = write(chosen, making, entries, files, classes=classes)
        told = Told(
            run=opened,
            arm=record,
            fit=fit,
            replicate=replicate,
            form=chosen,
            entries=entries,
            written=written,
            synthetic_only=synthetic_only,
            accept_copies=accept_copies,
            accept_terms=accept_terms,
            by_hand=by_hand,
            mixed_classes=any(SHARES in entry.facts for entry in entries),
        )
        name, text = (HUB_CARD, hub_card) if chosen == "hf" else (CARD, data_card)
        (making / name).write_text(text(told), encoding="utf-8")
        _copy_licences(opened, entries, making)
        model = "none: only the format imagefolder holds one"
        if chosen == "imagefolder":
            table = splits(opened)
            table = table[table["draw"] == draw].drop(columns="draw")
            table.to_csv(making / SPLITS, index=False)
            if changed:
                model = "none: verdicts by hand changed the images, so that no model has seen these"
            else:
                model = _write_model(
                    opened, record, replicate, entries, pixels, making / MODEL, trained=trained
                )
    return Exported(
        path=folder,
        real=sum(not entry.synthetic for entry in entries),
        synthetic=sum(entry.synthetic for entry in entries),
        reduced=written.kinds.get(AT_TRAINING_SIZE, 0),
        decoded=written.kinds.get(DECODED, 0),
        model=model,
    )


def _copy_licences(run: Run, entries: Sequence[Entry], target: Path) -> None:
    """Lay the terms of the models behind the synthetic images beside these, word by word."""
    for name in dict.fromkeys(entry.image.generator for entry in entries if entry.synthetic):
        for terms in sorted((run.path / GENERATORS / name).glob(f"*{LICENCE}")):
            shutil.copyfile(terms, target / f"{name}-{terms.name}")


def _changed(run: Run, arm: Arm, entries: Sequence[Entry], *, replicate: int) -> bool:
    """Whether verdicts by hand changed which generated images there are."""
    trained_on = arm_images(run, arm, replicate=replicate)
    without = [image.id for image in trained_on if image.origin == "synthetic"]
    return without != [entry.image.id for entry in entries if entry.synthetic]


def _format(name: str) -> Format:
    for known in FORMATS:
        if name == known:
            return known
    raise InputError(
        f"unknown format '{name}'{nearest_name(name, FORMATS)}",
        rule=f"an export has one of the formats {', '.join(FORMATS)}",
        remedy="give one of them with --format",
    )


def _free(folder: Path) -> Path:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"'{folder}' is not empty",
            rule="an export is written into a new or empty folder",
            remedy="give another folder with --out",
        )
    return folder


def _require_images(entries: Sequence[Entry], arm: Arm, *, synthetic_only: bool) -> None:
    if any(entry.synthetic for entry in entries) or not (synthetic_only or arm.uses_synthetic):
        return
    if arm.uses_synthetic:
        raise InputError(
            f"arm '{arm.name}' got no image of generator '{arm.generator}' in this replicate",
            rule="synthetic images are those that its target asks for and its filters kept",
            remedy="name another arm, or see in the report under 'Where every image went' why",
        )
    raise InputError(
        f"arm '{arm.name}' has no synthetic images",
        rule="--synthetic-only leaves the synthetic images of an arm",
        remedy="name an arm with a generator, or leave --synthetic-only out",
    )


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder that appears when all of it is written, and not at all when that fails."""
    making = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:12]}")
    making.mkdir(parents=True)
    try:
        yield making
        if folder.exists():
            folder.rmdir()
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _counted(files: Iterable[File], total: int, progress: Progress) -> Iterator[File]:
    for number, file in enumerate(files):
        yield file
        progress(number + 1, total, "images")


# ── the model ─────────────────────────────────────────────────────────────────────────────────


def _write_model(
    run: Run,
    arm: Arm,
    replicate: int,
    entries: Sequence[Entry],
    pixels: Pixels,
    target: Path,
    *,
    trained: bool,
) -> str:
    """Copy the arm's own model where the store has it, else the run's; says which it is."""
    if not trained:
        return f"none: arm '{arm.name}' was stopped before it was trained"
    found = _model_of(run, arm, replicate, entries, pixels)
    source, words = run.path / MODEL, "the run's model; the arm's own is no longer in the store"
    if run.results.study.design == "cross_validated":
        words += " (this one was trained on all images, test images of every fold included)"
    if found is not None:
        source, words = found, f"the model of arm '{arm.name}', replicate {replicate + 1}"
    if not (source / DESCRIPTION).is_file():
        return "none: the run folder holds no model"
    target.mkdir()
    for name in (DESCRIPTION, WEIGHTS):
        shutil.copyfile(source / name, target / name)
    return words


def _model_of(
    run: Run, arm: Arm, replicate: int, entries: Sequence[Entry], pixels: Pixels
) -> Path | None:
    """The arm's own model of this replicate, as the run names it; None where it is gone.

    Models are never found by their likeness: those of inner folds, and the one that is trained on
    all images in the end, share recipe and seed with an arm's.
    """
    wanted = [(e.image.chunk, e.image.row) for e in entries if e.synthetic]
    if arm.uses_synthetic and not wanted:
        raise SynthliftError(f"arm '{arm.name}' lost its images")
    key = artefact_keys(run.path).get("models", {}).get(arm.name, {}).get(str(replicate))
    if key is not None and pixels.store is not None and pixels.store.has(key):
        artefact = pixels.store.open(key)
        manifest = artefact.record["config"]["manifest"]
        used = [(entry["chunk"], row) for entry in manifest for row in entry["rows"]]
        return artefact.folder if used == wanted else None
    pair = kept_models(run.path) if replicate == 0 else []
    return next((one.folder for one in pair if one.arm == arm.name), None)
