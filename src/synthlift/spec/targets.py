"""Targets: which cells of the training set receive synthetic images, and up to how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_serializer,
    model_validator,
)

LABEL = "label"
SOURCES = "sources"
"""An attribute of requests that no image has: the training images that an image is made from."""
By = Literal["validation_error", "hard_cases"]
_SHORT: dict[str, dict[str, Any]] = {
    "all": {},
    "fill_to_largest": {"fill_to": "largest"},
    "fill_to_median": {"fill_to": "median"},
    "validation_error": {"by": "validation_error"},
    "hard_cases": {"by": "hard_cases"},
}


class Cell(NamedTuple):
    """A class, or the images of a class with certain attribute values.

    Attributes:
        label: class index.
        attributes: (name, value) pairs, sorted by name; a value of "" = missing.
    """

    label: int
    attributes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, label: int, attributes: Mapping[str, str] | None = None) -> Cell:
        """A cell from a mapping of attributes."""
        return cls(label, tuple(sorted((attributes or {}).items())))

    def within(self, names: Iterable[str]) -> Cell | None:
        """The cell that this one lies in when only ``names`` count; None where one is unknown."""
        known = dict(self.attributes)
        wanted = sorted(names)
        if not all(name in known for name in wanted):
            return None
        return Cell(self.label, tuple((name, known[name]) for name in wanted))

    @property
    def seed_parts(self) -> tuple[int | str, ...]:
        """What the seeds of this cell's images derive from, beside fit, stream and index."""
        return (self.label, *(f"{name}={value}" for name, value in self.attributes))

    def title(self, classes: Sequence[str]) -> str:
        """In words, such as ``mel, sex female``."""
        said = (f"{name} {value or 'missing'}" for name, value in self.attributes)
        return ", ".join((classes[self.label], *said))


class Target(BaseModel):
    """Which cells receive synthetic images, and up to how many.

    In a study file also ``all``, ``fill_to_largest``, ``fill_to_median``, ``validation_error``
    and ``hard_cases``, which stand for classes.

    Attributes:
        cells: ``label`` and names of attributes; every combination in the training set is a cell.
        fill_to: cells get (multiple times) what they lack of the largest, of the median or of so
            many images; None = (multiple times) as many as they have.
        by: how the images that ``fill_to`` amounts to are spread over cells instead: in proportion
            to the ``validation_error`` of the model on real images, or to how many ``hard_cases``
            a cell has, the fifth of training images with the highest loss out of fold.
        unseen: whether combinations of a class and of values that no training image shows are
            cells too, where images of the class and of each value are there. Not where some
            combination cannot be, such as a disease that one sex does not have. The median is that
            of the others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: tuple[str, ...] = (LABEL,)
    fill_to: Annotated[int, Field(ge=1)] | Literal["largest", "median"] | None = None
    by: By | None = None
    unseen: bool = False

    @model_validator(mode="before")
    @classmethod
    def _in_short(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in _SHORT:
            raise ValueError(
                f"'{value}' is no target; write {', '.join(_SHORT)}, or such as "
                "{cells: [label, sex], fill_to: median}"
            )
        return _SHORT[value]

    @field_validator("cells")
    @classmethod
    def _with_label(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if LABEL not in value:
            raise ValueError(
                f"cells need '{LABEL}' beside {', '.join(value) or 'nothing'}: synthetic images "
                "are made for a class"
            )
        return (LABEL, *sorted(set(value) - {LABEL}))

    @model_validator(mode="after")
    def _unseen_cells_can_be_filled(self) -> Target:
        if self.unseen and (not self.attributes or self.fill_to is None or self.by is not None):
            raise ValueError(
                "'unseen' is for cells of attributes that are filled to a level: write such as "
                "{cells: [label, sex], fill_to: median, unseen: true}, without 'by'"
            )
        return self

    @model_serializer
    def _as_short(self) -> str | dict[str, Any]:
        for short, settings in _SHORT.items():
            if self == Target(**settings):
                return short
        plain = {"cells": list(self.cells), "fill_to": self.fill_to}
        # What is left at its default is not written, so that older studies keep their keys.
        further = {"by": self.by, "unseen": self.unseen or None}
        return plain | {name: value for name, value in further.items() if value is not None}

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of attributes, sorted, without the class."""
        return self.cells[1:]

    @property
    def title(self) -> str:
        """A name for tables and arms, such as ``fill_label+sex_to_median``."""
        short = self._as_short()
        if isinstance(short, str):
            return short
        if self.by is not None:
            plain = Target(cells=self.cells, fill_to=self.fill_to).title
            return f"{self.by}_{plain.removeprefix('all_')}"
        cells = "+".join(self.cells)
        if self.fill_to is None:
            return f"all_{cells}"
        title = f"fill_{'' if self.cells == (LABEL,) else cells + '_'}to_{self.fill_to}"
        return f"{title}_with_unseen" if self.unseen else title

    def shares(self, counts: Mapping[Cell, int]) -> dict[Cell, int]:
        """Images that each cell would get at a multiple of 1.

        Args:
            counts: training images of the finest cells; a class without images may stand as a
                cell without attributes.
        """
        mine = grouped(counts, self.attributes)
        if self.fill_to is None:
            return mine
        level = {
            "largest": max(mine.values(), default=0),
            "median": int(np.median(list(mine.values()))) if mine else 0,
        }.get(str(self.fill_to), self.fill_to)
        unseen = dict.fromkeys(combinations(mine), 0) if self.unseen else {}
        return {cell: max(0, int(level) - n) for cell, n in sorted((unseen | mine).items())}


ALL, LARGEST, MEDIAN, VALIDATION_ERROR, HARD_CASES = (
    Target(**settings) for settings in _SHORT.values()
)


def grouped(counts: Mapping[Cell, int], names: Iterable[str]) -> dict[Cell, int]:
    """Counts of the cells that ``names`` make, summed from finer ones."""
    names = tuple(names)
    found: dict[Cell, int] = {}
    for cell, count in counts.items():
        coarse = cell.within(names)
        if coarse is not None:
            found[coarse] = found.get(coarse, 0) + count
    return dict(sorted(found.items()))


def combinations(cells: Iterable[Cell]) -> list[Cell]:
    """Every class with every combination of known values, each of which some cell has."""
    cells = list(cells)
    labels = sorted({cell.label for cell in cells})
    values: dict[str, set[str]] = {}
    for cell in cells:
        for name, value in cell.attributes:
            values.setdefault(name, set()).update([value] if value else [])
    pairs = [[(name, value) for value in sorted(values[name])] for name in sorted(values)]
    return [Cell(label, chosen) for label in labels for chosen in product(*pairs)]


def class_cells(counts: Mapping[int, int]) -> dict[Cell, int]:
    """Counts per class index as cells."""
    return {Cell(label): count for label, count in counts.items()}
