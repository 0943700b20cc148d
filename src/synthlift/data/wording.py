"""Lists in messages: the first few by name, the rest counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from synthlift.errors import nearest_name

SHOWN = 5


def listed(names: Sequence[str], *, quoted: bool = True) -> str:
    """The first five names and how many more there are: "'a', 'b' and 3 more"."""
    shown = ", ".join(f"'{name}'" if quoted else name for name in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def counted(n: int, noun: str) -> str:
    """ "1 image", "1,204 images"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def nearest_column(wanted: str, columns: Iterable[str]) -> str:
    """As :func:`~synthlift.errors.nearest_name`, whatever the case of the letters."""
    names = {name.casefold(): name for name in columns}
    if wanted.casefold() in names:
        return f" – did you mean '{names[wanted.casefold()]}'?"
    near = nearest_name(wanted.casefold(), names)
    for folded, name in names.items():
        if near == f" – did you mean '{folded}'?":
            return near.replace(folded, name)
    return ""
