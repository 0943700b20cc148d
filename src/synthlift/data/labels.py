"""Classes that are none: several in one label, numbers on a scale, identifiers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from synthlift.data.delimited import may_be_thousands
from synthlift.data.wording import listed, nearest_column
from synthlift.errors import InputError

MOST_CLASSES = 1000
_MOST_NUMBERS = 10
_ONE_CLASS = "Synthlift answers for classification, one class an image"


def check_labels(labels: Sequence[str], *, given: str, one_class: bool = False) -> None:
    """Refuse labels that are no classes.

    Args:
        labels: one an image; "" for an image without one.
        given: what the user called the source.
        one_class: whether a single class will do.

    Raises:
        InputError: numbers on a scale, several labels an image, more than 1,000 classes or nearly
            as many as images, or a single class.
    """
    names = sorted({label for label in labels if label})
    _refuse_numbers(names, given)
    _refuse_several(names, given)
    nearly_one_each = len(names) > 20 and len(names) > len(labels) / 2
    if len(names) > MOST_CLASSES or nearly_one_each:
        raise InputError(
            f"'{given}' has {len(names):,} classes for {len(labels):,} images: {listed(names)}",
            rule=f"at most {MOST_CLASSES:,} classes, with several images each; this looks like an "
            "identifier or a regression target",
            remedy="name the column that holds the classes (`data.label`)",
        )
    if len(names) == 1 and not one_class:
        raise InputError(
            f"'{given}' holds one class only: '{names[0]}'",
            rule="a classifier needs at least two classes",
            remedy="add images of another class, or name the column that holds the classes "
            "(`data.label`)",
        )


def check_names(
    names: Iterable[str], labels: Iterable[str], *, setting: str = "data.names"
) -> None:
    """Refuse words for a class that is not there, as ``data.names`` may give by a slip.

    Args:
        names: the classes that words are given for.
        labels: those of the images.
        setting: where the words stand.

    Raises:
        InputError: none of ``labels`` is called so.
    """
    known = sorted(set(labels))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"{setting} has words for classes that are not there: {listed(unknown)}"
            f"{nearest_column(unknown[0], known)}",
            rule=f"it gives words for people to classes of the data, which are: {listed(known)}",
            remedy="correct the names before the colons, or take these lines out",
        )


def number_of(text: str) -> float | None:
    """The number that a text is, with a point or a decimal comma; None where it is none.

    "1,234" may be 1234 as well as 1.234: which one only a whole column tells
    (:meth:`synthlift.data.tables.Table.with_points`), so that alone it is none.
    """
    if may_be_thousands(text):
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    # float() also takes "1_000" and "nan", which nobody means as a number here.
    return value if math.isfinite(value) and "_" not in text else None


def _refuse_numbers(names: Sequence[str], given: str) -> None:
    # Either reading of "1,234" is a number.
    values = [
        number_of(name.replace(",", "") if may_be_thousands(name) else name) for name in names
    ]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(names) or len(names) <= _MOST_NUMBERS:
        return
    if not all(value.is_integer() for value in numbers):
        raise InputError(
            f"the labels of '{given}' are {len(names):,} different numbers on a scale: "
            f"{listed(names)}",
            rule=f"{_ONE_CLASS}; it does not predict numbers (regression)",
            remedy="write classes into a column, such as 'low' and 'high', and name it "
            "(`data.label`)",
        )


def _refuse_several(names: Sequence[str], given: str) -> None:
    found = [name for name in names if name.startswith("[") and name.endswith("]")]
    for separator in "|;,":
        found = found or _joined(names, separator)
    if found:
        raise InputError(
            f"the labels of '{given}' hold several classes for one image: {listed(found)}",
            rule=f"{_ONE_CLASS}; multi-label data are not read",
            remedy="keep one class for each image in a column of its own, such as 'yes' and 'no' "
            "for one finding, and name it (`data.label`)",
        )


def _joined(names: Sequence[str], separator: str) -> list[str]:
    """Labels made of others by a separator; [] where it belongs to the names.

    A comma is usual inside one name ("cattle, dairy"), so most of the labels that hold one must
    be made of others.
    """
    parts = {name: {part.strip() for part in name.split(separator)} for name in names}
    several = [name for name in names if len(parts[name]) > 1]
    uses: dict[str, int] = {}
    for found in parts.values():
        for part in found:
            uses[part] = uses.get(part, 0) + 1
    if separator == ",":
        made = [name for name in several if all(uses[part] > 1 for part in parts[name])]
        return made if len(made) > len(several) / 2 else []
    return several if any(uses[part] > 1 for name in several for part in parts[name]) else []
