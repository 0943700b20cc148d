"""What a study will put into the store, in bytes: to expect, and at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthlift.store import Artefact
from synthlift.store.packed import LARGE_IMAGE
from synthlift.study.beside import counts_beside
from synthlift.study.components import settings_of
from synthlift.study.expecting import (
    CHOOSING_FOLDS,
    CHUNK,
    KEEP_FACTOR,
    Option,
    Speeds,
    Task,
    expected_fits,
    expected_models,
)
from synthlift.study.layout import most_wanted, wanted_images
from synthlift.study.packed_sizes import PackedSize
from synthlift.study.planning import Plan
from synthlift.study.preparation import Opened
from synthlift.study.session import Session

RECORD_BYTES = 16_384
"""A model's description, and the records of it and of its predictions."""
NOTED_BYTES = 512
"""What is written down of one image that was generated: where it comes from, what filters say."""
ROW_BYTES = 128
"""One image in one table: its name, hash, label and place."""
NUMBER_BYTES = 8
SAMPLED_AT_MOST = 3
"""Images that are sampled for each wanted one before a class falls short."""
SPREAD = 1.25
"""How much larger pictures may be than the largest of those that a preview drew."""
SHOWN = 4_096
"""Pictures of the report, of gallery and explanations together, in images."""


@dataclass(frozen=True)
class DiskUse:
    """Bytes in the store.

    Attributes:
        about: to expect; None where generated images are packed and nobody knows how small.
        at_most: an upper bound.
    """

    about: int | None
    at_most: int


def disk_use(
    session: Session,
    plan: Plan,
    opened: Opened,
    *,
    task: Task,
    option: Option,
    speeds: Speeds,
    packed: Mapping[str, PackedSize],
) -> DiskUse:
    """What the store will hold of a study.

    Args:
        session: of the study.
        plan: as planned.
        opened: the data as read.
        task, option, speeds: as for the time.
        packed: by generator, what its pictures take, where that was measured.
    """
    image = plan.image_size**2 * plan.channels
    beside = sum(counts_beside(session, opened.classes))
    real = (opened.usable + beside) * image + _listed(opened, beside)
    if session.study.data.masks is not None:
        real += opened.usable * plan.image_size**2
    fits = expected_fits(task, option)
    fits.update({name: 1 for name, one in speeds.generators.items() if one.one_pool == "study"})
    about, at_most, measured = 0.0, 0.0, True
    shape = (plan.image_size, plan.image_size, plan.channels)
    originals = {
        one.title: settings_of("generators", one).original_bytes(image_shape=shape)
        for one in plan.generators
    }
    for name, number in fits.items():
        larger = originals.get(name, 0)
        raw = image + larger
        size = packed.get(name, PackedSize(raw, raw))
        measured &= name in packed or not (larger or image > LARGE_IMAGE)
        usual = number * _sampled(plan, task, name, factor=KEEP_FACTOR)
        most = number * _sampled(plan, task, name, factor=SAMPLED_AT_MOST)
        about += usual * (size.mean + NOTED_BYTES)
        at_most += most * (min(raw, SPREAD * size.largest) + NOTED_BYTES)
    whole = opened.usable * image * 4  # what is learnt of images, where it is kept as numbers
    learnt = sum(
        number * (speeds.generators[name].fit_bytes if name in speeds.generators else whole)
        for name, number in fits.items()
    )
    # Images that a model is asked about, in its own files and in the tables of all models.
    asked = opened.usable + beside + CHUNK * len(opened.classes)
    told = 2 * asked * (ROW_BYTES + 2 * NUMBER_BYTES * len(opened.classes))
    models = expected_models(task, option) * (speeds.model_bytes + RECORD_BYTES + told)
    shown = SHOWN * image + _splits(opened, option)
    rest = real + learnt + models + shown
    return DiskUse(int(rest + about) if measured else None, int(rest + at_most))


def _listed(opened: Opened, beside: int) -> float:
    """Lists of all images, and pixels that were kept while they were read."""
    own = _size(opened.read) + _size(opened.inventory)
    return own * (1 + beside / max(1, opened.usable))


def _size(artefact: Artefact) -> int:
    return sum(path.stat().st_size for path in Path(artefact.folder).rglob("*") if path.is_file())


def _sampled(plan: Plan, task: Task, generator: str, *, factor: float) -> float:
    """Images that one pool of a generator has: whole chunks, and the reserved stream.

    Args:
        plan, task: as above.
        generator: its name.
        factor: images that are sampled for each wanted one.
    """
    needs = most_wanted(
        wanted_images(arm, task.cells) for arm in plan.arms if arm.generator == generator
    )
    wanted = (need / task.selected_share for need in needs.values())
    return sum(factor * need + 2 * CHUNK for need in wanted)


def _splits(opened: Opened, option: Option) -> int:
    inside = CHOOSING_FOLDS * option.replicates * option.chooses_inside
    return (2 + inside) * 2 * ROW_BYTES * opened.usable
