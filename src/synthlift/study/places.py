"""Where the images of a study are, as readers are told it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from synthlift.spec.data import Beside, Data, Pool

if TYPE_CHECKING:
    from synthlift.data.contract import Where
    from synthlift.data.inventory import Asked


def asked_of(data: Data, *, base: Path) -> Asked:
    """What is wanted of every image while it is read.

    Args:
        data: the part ``data:`` of a study file.
        base: folder that relative paths start from.
    """
    from synthlift.data.inventory import Asked
    from synthlift.data.parting import Parting

    split = data.split
    by_group = split.leave_one_out == "group"
    return Asked(
        max_pixels=data.max_pixels,
        alike=data.near_duplicates == "join",
        derived=data.derived,
        parting=Parting(
            file=None if split.file is None else base / Path(split.file).expanduser(),
            given=split.given == "honour",
            test_where=split.test_where,
            leave_one_out=None if by_group else split.leave_one_out,
        ),
    )


def where_of(data: Data, *, base: Path) -> Where:
    """What a reader has to know of the part ``data:`` of a study file.

    Args:
        data: that part.
        base: folder that relative paths start from.
    """
    from synthlift.data.contract import Where

    return Where(
        source=data.source,
        base=str(base.absolute()),
        metadata=data.metadata,
        label=data.label,
        group=data.group,
        attributes=data.attributes,
        masks=data.masks,
        bins=data.bins,
    )


def pool_of(pool: Pool, *, base: Path) -> Where:
    """The same for images that a generator is made of."""
    from synthlift.data.contract import Where

    return Where(
        source=pool.source,
        base=str(base.absolute()),
        metadata=pool.metadata,
        label=pool.label,
        attributes=pool.attributes,
        classes=pool.classes,
        one_class=True,
        shares=True,
    )


def unlabelled_of(source: str, *, base: Path) -> Where:
    """The same for images without a class."""
    from synthlift.data.contract import Where

    return Where(source=source, base=str(base.absolute()), labelled=False)


def beside_of(beside: Beside, *, base: Path) -> Where:
    """The same for images beside the data set."""
    from synthlift.data.contract import Where

    return Where(
        source=beside.source,
        base=str(base.absolute()),
        metadata=beside.metadata,
        label=beside.label,
        group=beside.group,
        classes=beside.classes,
    )
