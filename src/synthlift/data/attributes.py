"""Attributes of images: which can be used, and how numbers become a few values."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from itertools import pairwise

from synthlift.data.contract import Item, Source, Where
from synthlift.data.labels import check_labels, number_of
from synthlift.data.overlay import Overlay
from synthlift.data.wording import counted, listed, nearest_column
from synthlift.errors import InputError
from synthlift.spec.values import MISSING, in_order, is_missing
from synthlift.store import digest

# Columns of our own tables of images: the inventory, splits.csv and the predictions.
BUILT_IN = frozenset(
    {
        *("id", "image_id", "label", "class", "group", "path", "attributes", "part", "mask"),
        *("sha256", "width", "height", "channels", "mode", "bits", "status", "reason", "draw"),
    }
)
_UNIQUE = 0.9


def described(source: Source, where: Where) -> Source:
    """Check classes and attributes of a source, and bin what is to be binned.

    Raises:
        InputError: as :func:`checked`.
    """
    items = checked(source.items, where)
    if not where.bins:
        return source
    bins = {name: spec if isinstance(spec, int) else list(spec) for name, spec in _specs(where)}
    fingerprint = digest([source.fingerprint, bins])
    return Overlay(source, items=items, fingerprint=fingerprint, notes=_bin_notes(items, where))


def checked(items: Sequence[Item], where: Where) -> list[Item]:
    """Items whose classes and attributes can be used, the numeric attributes binned.

    Raises:
        InputError: labels that are no classes (:func:`~synthlift.data.labels.check_labels`), an
            attribute called like a built-in column, unknown, or with a value of its own for
            nearly every image; bins for what is no attribute or holds no numbers.
    """
    if where.labelled:
        check_labels([item.label for item in items], given=where.source, one_class=where.one_class)
    known = sorted({name for item in items for name in item.attributes})
    for name in where.attributes:
        _refuse_built_in(name)
        if name not in known:
            raise _no_attribute(name, known, where)
    if stray := sorted(set(where.bins) - set(where.attributes)):
        raise InputError(
            f"data.bins names '{stray[0]}', which is no attribute"
            f"{nearest_column(stray[0], where.attributes)}",
            rule="bins are for attributes, which data.attributes lists",
            remedy=f"add '{stray[0]}' to data.attributes, or remove its bins",
        )
    for name in where.attributes:
        if name not in where.bins:
            _refuse_identifier(name, [item.attributes.get(name, "") for item in items])
    binned = list(items)
    for name, spec in _specs(where):
        values = [item.attributes.get(name, "") for item in items]
        found = bin_numeric(values, spec, groups=[item.group for item in items], name=name)
        binned = [
            replace(item, attributes={**item.attributes, name: value})
            for item, value in zip(binned, found, strict=True)
        ]
    return binned


def bin_numeric(
    values: Sequence[str],
    spec: int | Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    name: str = "values",
) -> list[str]:
    """Turn numbers into a few ranges: "below 30", "30 to 45", "45 or more".

    A range holds its lower border and not its upper one.

    Args:
        values: numbers as text, one an image; empty, "NA", "unknown" and the like are missing.
        spec: a number of ranges that hold about equally many groups, or the inner borders.
        groups: of the images, so that a patient with many images counts once (once for each of
            her values); None = each image alone.
        name: of the attribute, for messages.

    Returns:
        The range by image, "missing" where the value is. Fewer ranges than asked for where
        equal values cannot be parted.

    Raises:
        InputError: a value that is no number, no value at all, or a single one to be parted.
    """
    numbers = [_number(value) for value in values]
    odd = [v for v, n in zip(values, numbers, strict=True) if n is None and not is_missing(v)]
    if odd:
        raise InputError(
            f"'{name}' is to be binned, but {counted(len(odd), 'value')} "
            f"{'is' if len(odd) == 1 else 'are'} no number: {listed(sorted(set(odd)))}",
            rule="bins are for numbers; empty cells and NA count as missing",
            remedy=f"correct these values, or remove '{name}' from data.bins",
        )
    if all(number is None for number in numbers):
        raise InputError(
            f"'{name}' is to be binned, but all of its {len(values):,} values are missing",
            rule="bins are for numbers",
            remedy=f"name another column, or remove '{name}' from data.bins and data.attributes",
        )
    if isinstance(spec, int):
        owners = groups if groups is not None else [str(k) for k in range(len(values))]
        once = {(g, n) for g, n in zip(owners, numbers, strict=True) if n is not None}
        borders = _equal_borders(sorted(n for _, n in once), spec, name=name)
    else:
        borders = [float(border) for border in spec]
    words = _words(borders)
    return [MISSING if n is None else words[bisect_right(borders, n)] for n in numbers]


def _specs(where: Where) -> list[tuple[str, int | Sequence[float]]]:
    return sorted(where.bins.items())


def _number(text: str) -> float | None:
    return None if is_missing(text) else number_of(text)


def _equal_borders(ordered: Sequence[float], bins: int, *, name: str) -> list[float]:
    """Borders between equally many of the sorted values, as nearly as equal ones allow."""
    cuts = [k for k in range(1, len(ordered)) if ordered[k - 1] < ordered[k]]
    if not cuts:
        raise InputError(
            f"'{name}' is to be binned, but every value is {_form(ordered[0])}",
            rule="at least two different numbers can be parted",
            remedy=f"remove '{name}' from data.bins",
        )
    wanted = (k * len(ordered) / bins for k in range(1, bins))
    chosen = sorted({min(cuts, key=lambda cut: (abs(cut - goal), cut)) for goal in wanted})
    return [_round_between(ordered[k - 1], ordered[k]) for k in chosen]


def _round_between(low: float, high: float) -> float:
    """The number with the fewest digits in (low, high]."""
    upper = Decimal(repr(high))
    for power in range(12, -12, -1):
        found = upper.quantize(Decimal(1).scaleb(power), rounding=ROUND_FLOOR)
        if low < float(found) <= high:
            return float(found)
    return high


def _words(borders: Sequence[float]) -> list[str]:
    texts = [_form(border) for border in borders]
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} or more"]


def _form(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def _bin_notes(items: Sequence[Item], where: Where) -> list[str]:
    notes = []
    for name, _ in _specs(where):
        counts: dict[str, int] = {}
        for item in items:
            value = item.attributes[name]
            counts[value] = counts.get(value, 0) + 1
        shown = ", ".join(f"{value}: {counts[value]:,}" for value in in_order(counts))
        notes.append(f"'{name}' binned – {shown}")
    return notes


def _refuse_built_in(name: str) -> None:
    if name.casefold() in BUILT_IN:
        raise InputError(
            f"an attribute cannot be called '{name}'",
            rule="Synthlift's own tables have a column of that name: "
            f"{', '.join(sorted(BUILT_IN))}",
            remedy=f"rename the column, such as '{name}_given', in the table and in "
            "data.attributes",
        )


def _no_attribute(name: str, known: Sequence[str], where: Where) -> InputError:
    there = f"it has: {', '.join(known[:20])}" if known else "it has none"
    return InputError(
        f"'{where.source}' has no attribute '{name}'{nearest_column(name, known)}",
        rule=f"attributes are columns of a table, or of the data themselves; {there}",
        remedy="name the table that holds them (`data.metadata`), or correct the name",
    )


def _refuse_identifier(name: str, values: Sequence[str]) -> None:
    found: Mapping[str, None] = dict.fromkeys(values)
    if len(found) > max(2, _UNIQUE * len(values)):
        numeric = sum(number_of(value) is not None for value in found if value)
        hint = f"bin it (data.bins: {{{name}: 4}}), or " if numeric > len(found) / 2 else ""
        raise InputError(
            f"attribute '{name}' has {len(found):,} values for {len(values):,} images: "
            f"{listed(sorted(value for value in found if value))}",
            rule="an attribute parts the images into a few subgroups; one with a value for nearly "
            "each image is an identifier",
            remedy=f"{hint}remove it from data.attributes; what must not be torn apart, such as a "
            "patient, goes into data.group",
        )
