"""Dense arrays out of the predictions table: models that saw the same images, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthlift.errors import InputError
from synthlift.evaluation.predictions import Predictions
from synthlift.types import Float32, Int64, Strings


@dataclass(frozen=True)
class Panel:
    """All arms and replicates on one common set of images.

    Attributes:
        classes: class names in index order [K].
        image_ids: sorted identifiers [n].
        labels: class indices [n].
        groups: group codes 0 … G−1 [n].
        group_names: their names [G].
        replicates: replicate numbers, ascending [R].
        fits: generator fit or training draw of each replicate [R]; -1 where there is none.
        probabilities: float32 [R, n, K] by arm.
    """

    classes: tuple[str, ...]
    image_ids: Strings
    labels: Int64
    groups: Int64
    group_names: Strings
    replicates: Int64
    fits: Int64
    probabilities: Mapping[str, Float32]

    @property
    def group_count(self) -> int:
        """Number of test groups G."""
        return int(self.groups.max()) + 1

    def class_groups(self) -> Int64:
        """Test groups that hold at least one image of each class, int64 [K]."""
        pairs = np.unique(np.stack([self.labels, self.groups]), axis=1)
        return np.bincount(pairs[0], minlength=len(self.classes)).astype(np.int64)

    def class_images(self) -> Int64:
        """Images per class, int64 [K]."""
        return np.bincount(self.labels, minlength=len(self.classes)).astype(np.int64)


def shared_panel(predictions: Predictions, *, arms: Sequence[str] | None = None) -> Panel:
    """Designs A and B: every arm and replicate saw the same images.

    Args:
        predictions: one evaluation set and variant.
        arms: restrict to these; their common replicates are used.

    Raises:
        InputError: an arm is unknown, arms share no replicate, or two models were tested on
            different images.
    """
    arms = tuple(arms or predictions.arms())
    arm_codes, names = predictions.codes("arm")
    for arm in arms:
        if arm not in names:
            raise InputError(
                f"arm '{arm}' has no predictions here",
                rule=f"arms in the table: {', '.join(names)}",
                remedy="name one of them",
            )
    replicate = predictions.whole("replicate")
    common = _common_replicates(arm_codes, replicate, [names.index(arm) for arm in arms], arms)
    images, image_names = predictions.codes("image_id")
    order = np.argsort(np.array(image_names, dtype=str), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    images = rank[images]
    rows = _rows(arm_codes, replicate, images, names=names, arms=arms, common=common)
    first = rows[arms[0]][0]
    probabilities = predictions.probabilities()
    group_codes, group_names = predictions.codes("group")
    used, groups = np.unique(np.array(group_names, str)[group_codes[first]], return_inverse=True)
    return Panel(
        classes=predictions.classes,
        image_ids=np.array(image_names, dtype=str)[order][images[first]],
        labels=predictions.whole("label")[first],
        groups=groups.astype(np.int64),
        group_names=used,
        replicates=common,
        fits=_fits(predictions.whole("fit"), rows),
        probabilities={arm: probabilities[rows[arm]] for arm in arms},
    )


def fold_panels(
    predictions: Predictions, *, arms: Sequence[str] | None = None
) -> tuple[Panel, ...]:
    """Design C: one panel per fold, in order of the fold's index, one model an arm in each.

    Raises:
        InputError: as :func:`shared_panel`, per fold.
    """
    folds = predictions.whole("fold")
    return tuple(
        shared_panel(predictions.where(folds == fold), arms=arms or predictions.arms())
        for fold in np.unique(folds)
    )


def replicate_panels(
    predictions: Predictions, *, arms: Sequence[str] | None = None
) -> tuple[Panel, ...]:
    """One panel per replicate: for validation and synthetic sets that differ between them."""
    replicates = predictions.whole("replicate")
    return tuple(
        shared_panel(predictions.where(replicates == one), arms=arms)
        for one in np.unique(replicates)
    )


def _common_replicates(
    arm_codes: Int64, replicate: Int64, wanted: Sequence[int], arms: Sequence[str]
) -> Int64:
    common = np.unique(replicate[arm_codes == wanted[0]])
    for code in wanted[1:]:
        common = np.intersect1d(common, np.unique(replicate[arm_codes == code]))
    if not len(common):
        raise InputError(
            f"the arms {', '.join(arms)} have no replicate in common",
            rule="a comparison is paired: every arm is trained in the same replicates",
            remedy="number the repetitions alike in column 'replicate'",
        )
    return common


def _rows(
    arm_codes: Int64,
    replicate: Int64,
    images: Int64,
    *,
    names: Sequence[str],
    arms: Sequence[str],
    common: Int64,
) -> dict[str, Int64]:
    """Row numbers [R, n] of each arm, images in the same order everywhere."""
    rows: dict[str, Int64] = {}
    expected: Int64 | None = None
    for arm in arms:
        mine = np.flatnonzero((arm_codes == names.index(arm)) & np.isin(replicate, common))
        mine = mine[np.lexsort((images[mine], replicate[mine]))]
        parts = np.split(mine, np.flatnonzero(np.diff(replicate[mine])) + 1)
        for number, part in zip(common, parts, strict=True):
            seen = images[part]
            expected = seen if expected is None else expected
            if not np.array_equal(seen, expected):
                _differ(arm, int(number), seen, expected)
        rows[arm] = np.stack(parts)
    return rows


def _differ(arm: str, replicate: int, seen: Int64, expected: Int64) -> None:
    shared = len(np.intersect1d(seen, expected))
    raise InputError(
        f"arm '{arm}' (replicate {replicate}) was tested on {len(seen)} images, of which "
        f"{len(seen) - shared} differ from the {len(expected)} images of the other models",
        rule="arms are compared on the same test images; "
        "two figures from different images cannot be compared",
        remedy="test every model on one locked test set, or number cross-validation "
        "folds in column 'fold'",
    )


def _fits(fit: Int64, rows: Mapping[str, Int64]) -> Int64:
    table = np.stack([fit[index[:, 0]] for index in rows.values()])
    found: Int64 = table.max(axis=0)
    if ((table >= 0) & (table != found)).any():
        raise InputError(
            "arms of one replicate use different generator fits or training draws",
            rule="a replicate has one fit, shared by its arms (-1 where there is none)",
            remedy="number fits alike over all arms in column 'fit'",
        )
    return found
