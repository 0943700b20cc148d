"""Targets: which cells of the training set receive synthetic images, and up to how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: tuple[str, ...] = (LABEL,)
    fill_to: Annotated[int, Field(ge=1)] | Literal["largest", "median"] | None = None
    by: By | None = None

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

    @model_serializer
    def _as_short(self) -> str | dict[str, Any]:
        for short, settings in _SHORT.items():
            if self == Target(**settings):
                return short
        plain = {"cells": list(self.cells), "fill_to": self.fill_to}
        # A target without 'by' is written as before there was one: its study keeps its key.
        return plain if self.by is None else {**plain, "by": self.by}

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
        return f"fill_{'' if self.cells == (LABEL,) else cells + '_'}to_{self.fill_to}"

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
        return {cell: max(0, int(level) - n) for cell, n in mine.items()}


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


def class_cells(counts: Mapping[int, int]) -> dict[Cell, int]:
    """Counts per class index as cells."""
    return {Cell(label): count for label, count in counts.items()}
