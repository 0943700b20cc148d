"""What the columns of a table say of each image: class, group, attributes, part and mask."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from synthlift.data.contract import Where
from synthlift.data.readers.folder import SPLIT_NAMES
from synthlift.data.tables import Table, no_column
from synthlift.data.wording import listed
from synthlift.errors import InputError
from synthlift.spec.provenance import SHARES, column_of

# Names that mean the same column in different data sets, the plainest first.
PATH_NAMES = (
    *("path", "file_name", "filename", "file", "filepath", "file_path", "image_path", "imagepath"),
    *("image_file", "image_filename", "image_name", "image", "img", "img_path", "images", "photo"),
)
ID_NAMES = ("image_id", "img_id", "id", "name", "stem")
LABEL_NAMES = (
    *("label", "class", "target", "category", "class_name", "classname", "label_name", "labels"),
    *("diagnosis", "dx", "species"),
)
PART_NAMES = ("split", "part", "subset", "partition", "set")
MASK_NAMES = ("mask", "mask_path", "mask_file", "masks", "segmentation")
_MOST_CATEGORIES, _LEAST_EACH = 12, 5
"""Of a column that may be an attribute: values, and images a value on average."""
_BOX_NAMES = (
    {"xmin", "ymin", "xmax", "ymax"},
    {"x_min", "y_min", "x_max", "y_max"},
    {"x1", "y1", "x2", "y2"},
    {"bbox_x", "bbox_y", "bbox_w", "bbox_h"},
    {"roi.x1", "roi.y1", "roi.x2", "roi.y2"},
    {"bbox"},
    {"bboxes"},
    {"boxes"},
    {"bounding_box"},
)


@dataclass(frozen=True)
class Roles:
    """Which column is what; None where there is none.

    Attributes:
        label, group, part, mask: names of columns.
        attributes: names of columns, in the order of the study file.
        shares: whether for how much images count of each class is told, and asked for.
        notes: what was chosen without being told, in words.
    """

    label: str | None = None
    group: str | None = None
    attributes: tuple[str, ...] = ()
    part: str | None = None
    mask: str | None = None
    shares: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What one row says; "" where it says nothing."""

    label: str
    group: str
    attributes: Mapping[str, str]
    part: str
    mask: str


def columns_called(table: Table, names: Sequence[str]) -> list[str]:
    """The columns with one of some names, in the order of these; case, "-" and " " do not count."""
    plain = {
        re.sub(r"[\s-]+", "_", name.casefold()): name for name in reversed(list(table.columns))
    }
    return [plain[name] for name in names if name in plain]


def roles_of(table: Table, where: Where, *, known: frozenset[str] = frozenset()) -> Roles:
    """Find the columns that a study file names, and those that need no naming.

    Args:
        table: the table.
        where: what the study file says.
        known: keys and attributes that another table or the reader provides: "label", "group"
            and names of attributes; they need no column here.

    Raises:
        InputError: a column that is named is not there.
    """
    has = table.columns
    for key, name in (("label", where.label), ("group", where.group)):
        if name is not None and name not in has and key not in known:
            raise no_column(name, has, given=table.name, key=key)
    for name in where.attributes:
        if name not in has and name not in known:
            raise no_column(name, has, given=table.name, key="attributes")
    label, notes = _label(table, where)
    part, more = _part(table)
    roles = Roles(
        label=label,
        group=where.group if where.group in has else None,
        attributes=tuple(name for name in where.attributes if name in has),
        part=part,
        mask=_mask(table, where),
        shares=where.shares and SHARES in has,
    )
    return replace(roles, notes=(*notes, *more, *_unused(table, roles)))


def facts_of(table: Table, roles: Roles) -> list[Facts]:
    """What each row says, in the order of the rows."""
    none = [""] * len(table.rows)

    def values(name: str | None) -> Sequence[str]:
        return none if name is None else table.columns[name]

    attributes = {
        name: table.with_points(column_of(name, table.columns)) for name in roles.attributes
    }
    if roles.shares:
        attributes[SHARES] = table.columns[SHARES]
    return [
        Facts(
            label=values(roles.label)[row],
            group=values(roles.group)[row],
            attributes={name: column[row] for name, column in attributes.items()},
            part=SPLIT_NAMES.get(values(roles.part)[row].lower(), ""),
            mask=values(roles.mask)[row],
        )
        for row in range(len(table.rows))
    ]


def refuse_boxes(table: Table, where: Where) -> None:
    """Refuse a table of objects with boxes.

    Where the class column is named, the boxes are taken for extra columns of a classification
    table; rows that repeat an image are refused all the same.

    Raises:
        InputError: columns such as xmin, ymin, xmax and ymax, and no ``label``.
    """
    there = {name.casefold(): name for name in table.columns}
    found = next((names for names in _BOX_NAMES if names <= there.keys()), None)
    if found is not None and where.label is None:
        raise InputError(
            f"'{table.name}' holds boxes: {listed([there[name] for name in sorted(found)])}",
            rule="Synthlift answers for classification, one class an image; it does not read "
            "detection data",
            remedy="cut the objects out into images of their own, with a row for each; or name the "
            "column with the image's class (`data.label`) if there is one row an image",
        )


def no_label(table: Table) -> InputError:
    """What to say where no column is known to hold the classes."""
    names = list(table.columns)
    if masks := columns_called(table, MASK_NAMES):
        return InputError(
            f"'{table.name}' has a mask for each image ('{masks[0]}') but no class",
            rule="Synthlift answers for classification, one class an image; masks may stand beside "
            "the classes, but segmentation alone is not read",
            remedy="add a column 'label' with the class of each image",
        )
    flags = [name for name in names if set(table.columns[name]) in ({"0", "1"}, {"0.0", "1.0"})]
    hint = (
        f"; {listed(flags)} look like one column a class: write the class's name into one column"
        if len(flags) > 1
        else ""
    )
    return InputError(
        f"no column of '{table.name}' is known to hold the classes: it has {', '.join(names[:20])}",
        rule="the classes are in the column that `data.label` names, else in one called "
        f"{', '.join(LABEL_NAMES[:4])} or the like",
        remedy="name it, such as `--label diagnosis` or label: diagnosis" + hint,
    )


def _label(table: Table, where: Where) -> tuple[str | None, list[str]]:
    if where.label is not None or not where.labelled:
        return (where.label if where.label in table.columns and where.labelled else None), []
    taken = {where.group, *where.attributes}
    found = [name for name in columns_called(table, LABEL_NAMES) if name not in taken]
    if not found:
        return None, []
    besides = f"; there is also {listed(found[1:])}" if found[1:] else ""
    return found[0], [f"classes from column '{found[0]}' of '{table.name}'{besides}"]


def _part(table: Table) -> tuple[str | None, list[str]]:
    for name in columns_called(table, PART_NAMES):
        found = {value for value in table.columns[name] if value}
        odd = sorted(value for value in found if value.lower() not in SPLIT_NAMES)
        if found and not odd:
            return name, [f"split from column '{name}' of '{table.name}'"]
        if any(value.lower() in SPLIT_NAMES for value in found):
            return None, [f"column '{name}' is not read as a split: it also holds {listed(odd)}"]
    return None, []


def _unused(table: Table, roles: Roles) -> list[str]:
    """Which columns could be attributes and are not kept; of those nothing is known by name."""
    taken = {roles.label, roles.group, roles.part, roles.mask, SHARES, *roles.attributes}
    names = (*PATH_NAMES, *ID_NAMES, *LABEL_NAMES, *PART_NAMES, *MASK_NAMES)
    taken |= set(columns_called(table, names))
    found = [
        f"{name} ({listed(values, quoted=False)})"
        for name in table.columns
        if name not in taken and (values := _categories(table.columns[name]))
    ]
    if not found:
        return []
    what = f"columns of '{table.name}' that are not used: {listed(found, quoted=False)}"
    return [f"{what}; list those that matter under data.attributes, for subgroups and prompts"]


def _categories(values: Sequence[str]) -> list[str]:
    """The values of a column that sorts images, the most frequent first; else none."""
    counts = Counter(value for value in values if value)
    several = 2 <= len(counts) <= _MOST_CATEGORIES
    if not several or sum(counts.values()) < len(counts) * _LEAST_EACH:
        return []
    return [value for value, _ in counts.most_common()]


def _mask(table: Table, where: Where) -> str | None:
    if where.masks is None or where.masks in table.columns:
        return where.masks
    if where.beside(where.masks).is_dir():
        return None
    raise InputError(
        f"masks: '{where.masks}' is neither a column of '{table.name}' nor a folder",
        rule="'masks' names a column with the path of each image's mask, or a folder with masks; "
        f"the columns are: {', '.join(list(table.columns)[:20])}",
        remedy="correct the name",
    )
