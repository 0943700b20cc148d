"""Designs A and B: intervals when replicates and test groups are crossed.

Every replicate is tested on the same images, so a difference varies for two reasons that are
crossed, not nested: which fit (or training draw) it was, and which test groups were drawn. From
the F × G table of contributions (rows = fits, columns = test groups):

    SE² = V_fit + V_test − V_interaction,  not below max(V_fit, V_test),

each V a mean square divided by F·G (METHOD §4; Cornfield & Tukey 1956 for the expected mean
squares, Owen 2007 for the crossed bootstrap), with Satterthwaite's (1946) degrees of freedom.

Where rows are training sets that share images, they agree in what they share: of what other
training sets of the kind would show, their spread s² tells the part 1 − ρ only, ρ being the share
that two of them have in common. Then V_fit = s²·(1/F + ρ/(1 − ρ)) (Nadeau & Bengio 2003, section
3). Without it the interval speaks of training sets drawn from the same stock of images.

Letters: R replicates, F rows (fits, draws, or replicates given a pool), n images, G test groups,
B bootstrap draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from synthlift.errors import InputError
from synthlift.evaluation.intervals import Interval
from synthlift.seeds import generator_for
from synthlift.types import Float32, Float64, Int64


@dataclass(frozen=True)
class Layout:
    """How images add up to a metric that is a weighted mean over images.

    Attributes:
        images: the images that take part [m].
        weights: their weights [m], adding up to 1.
        cells: ratio cell of each [m]: a weighted mean is taken within each cell.
        order: sorts the m images by group.
        starts: where each group begins in that order [G].
        strata: stratum of each group [G]; groups are thought of as drawn within strata.
        group_weights: sum of weights in each group [G].
    """

    images: Int64
    weights: Float64
    cells: Int64
    order: Int64
    starts: Int64
    strata: Int64
    group_weights: Float64

    @property
    def groups(self) -> int:
        """Number of test groups G."""
        return len(self.starts)

    @property
    def has_lone_groups(self) -> bool:
        """Whether a stratum among several has one group: no resample of its groups differs."""
        counts = np.bincount(self.strata)
        return len(counts) > 1 and bool((counts == 1).any())

    @property
    def variance_floor(self) -> float:
        """Least variance of a difference in shares: as if one test group in G had differed.

        Without it two models that agree on every image of a small test set would be called
        equivalent with certainty.
        """
        return float((self.group_weights**2).sum() / self.groups)


def layout(labels: Int64, groups: Int64, *, by: str | int) -> Layout:
    """Lay out a test set for a linear metric.

    Args:
        labels: class indices [n].
        groups: group codes [n].
        by: ``"images"`` (accuracy), ``"classes"`` (balanced accuracy: weight 1/(K·n_k), groups
            drawn within class), or a class index (that class's recall).

    A group that holds images of several classes belongs to no class; then all groups form one
    stratum, and class sizes count as random (ratio estimates, linearised).
    """
    images = np.arange(len(labels)) if isinstance(by, str) else np.flatnonzero(labels == by)
    present, cells, sizes = np.unique(labels[images], return_inverse=True, return_counts=True)
    if by == "classes":
        weights = 1.0 / (len(present) * sizes[cells])
    else:
        weights, cells = np.full(len(images), 1.0 / len(images)), np.zeros_like(cells)
    _, codes = np.unique(groups[images], return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    lowest = np.minimum.reduceat(cells[order], starts)
    pure = np.array_equal(lowest, np.maximum.reduceat(cells[order], starts))
    return Layout(
        images=images,
        weights=weights,
        cells=cells,
        order=order,
        starts=starts,
        strata=lowest if pure else np.zeros_like(lowest),
        group_weights=np.add.reduceat(weights[order], starts),
    )


def whole_rounds(fits: Int64) -> Int64:
    """Replicates by row, int64 [F, S]: each fit with equally many seeds, surplus left out.

    Args:
        fits: fit or draw of each replicate [R]; all -1 (no fits), or only one distinct fit,
            makes every replicate a row of its own.

    Raises:
        InputError: some replicates have a fit and others have none.
    """
    distinct, counts = np.unique(fits, return_counts=True)
    if len(distinct) == 1:
        return np.arange(len(fits))[:, None]
    if distinct[0] < 0:
        raise InputError(
            "some replicates have a generator fit or training draw and others have none",
            rule="column 'fit' is filled for all replicates or for none",
            remedy="number the fits of every replicate, -1 everywhere when there are none",
        )
    return np.stack([np.flatnonzero(fits == fit)[: counts.min()] for fit in distinct])


def row_means(values: Float64, rows: Int64) -> Float64:
    """Average per-replicate values [R, …] over the seeds of each row → [F, …]."""
    means: Float64 = values[rows].mean(axis=1)
    return means


def image_influences(values: Float64, design: Layout) -> tuple[Float64, Float64]:
    """Row estimates [F] and the influence of each image that takes part on them [F, m].

    Influences are linearised ratios, weight × (value − mean of its cell); rows add up to 0.

    Args:
        values: one value per row and image [F, n].
        design: of the test set.
    """
    used = values[:, design.images]
    cells = int(design.cells.max()) + 1
    onehot = (design.cells[:, None] == np.arange(cells)).astype(np.float64)
    share = design.weights @ onehot
    means = (used * design.weights) @ onehot / share
    influence = design.weights * (used - means[:, design.cells])
    return means @ share, influence


def crossed_interval(
    values: Float64, design: Layout, *, floor: bool = True, shared: float = 0.0
) -> Interval:
    """Interval of a linear metric (or of a difference in it) from values per row and image.

    Args:
        values: [F, n]; for a contrast the difference of the arms' per-image scores.
        design: of the test set.
        floor: apply ``Layout.variance_floor`` (scores that are shares of images).
        shared: ρ/(1 − ρ) of rows that share ρ of their training images.
    """
    estimates, influences = image_influences(values, design)
    return influence_interval(
        estimates,
        influences,
        design,
        floor=design.variance_floor if floor else 0.0,
        method="crossed components, t",
        shared=shared,
    )


def influence_interval(
    estimates: Float64,
    influences: Float64,
    design: Layout,
    *,
    floor: float,
    method: str,
    shared: float = 0.0,
) -> Interval:
    """Interval of a linear or linearised metric.

    Args:
        estimates: one per row [F].
        influences: of each image that takes part on each row's estimate [F, m].
        design: of the test set.
        floor: least variance due to test groups.
        method: words for the record.
        shared: as in :func:`crossed_interval`.
    """
    table = np.add.reduceat(influences[:, design.order], design.starts, axis=1)
    rows, mean = len(estimates), table.mean(axis=0)
    test, test_df = _within_strata(mean[None], design)
    interaction, interaction_df = 0.0, 1.0
    if rows > 1:
        interaction, interaction_df = _within_strata(table - mean, design)
        interaction /= rows * (rows - 1)
        interaction_df *= rows - 1
    return combine(
        estimates,
        test=max(test, floor),
        test_df=test_df,
        interaction=interaction,
        interaction_df=interaction_df,
        method=method,
        shared=shared,
    )


def combine(
    estimates: Float64,
    *,
    test: float,
    test_df: float,
    interaction: float,
    interaction_df: float,
    method: str,
    shared: float = 0.0,
    **further: float,
) -> Interval:
    """Put three variance components of the mean together (see the module's text).

    Args:
        estimates: one per row [F].
        test, interaction: V of test groups and of the interaction.
        test_df, interaction_df: their degrees of freedom.
        method: words for the record.
        shared: as in :func:`crossed_interval`.
        further: named numbers for the record.
    """
    rows = len(estimates)
    fit = float(estimates.var(ddof=1)) * (1 / rows + shared) if rows > 1 else 0.0
    variance = max(fit + test - interaction, fit, test)
    terms = test**2 / test_df + interaction**2 / interaction_df
    if rows > 1:
        terms += fit**2 / (rows - 1)
    df = variance**2 / terms if terms > 0 else test_df
    return Interval(
        value=float(estimates.mean()),
        standard_error=sqrt(variance),
        degrees_of_freedom=max(df, rows - 1, 1.0),
        method=method,
        components={
            "fit": fit,
            "test": test,
            "interaction": interaction,
            "rows": float(rows),
            **({"shared": shared} if shared else {}),
            **further,
        },
    )


def _within_strata(influence: Float64, design: Layout) -> tuple[float, float]:
    """Σ_h n_h/(n_h−1) Σ_{g∈h} (u_g − ū_h)², summed over rows, and its degrees of freedom.

    Strata keep their own mean squares, since classes differ in difficulty and weight; their
    degrees of freedom are pooled by Satterthwaite's rule and so never exceed G − K. A stratum of
    one group borrows the others' pooled mean square.
    """
    count = np.bincount(design.strata)
    onehot = (design.strata[:, None] == np.arange(len(count))).astype(np.float64)
    centred = influence - ((influence @ onehot) / count)[:, design.strata]
    squares = (centred**2).sum(axis=0)
    several = count > 1
    free = np.maximum(count - 1, 1)
    parts = np.where(several, (squares @ onehot) * count / free, 0.0)
    pooled_df = int(count[several].sum() - several.sum())
    if not several.all() and pooled_df:
        unweighted = float((squares / design.group_weights**2).sum()) / pooled_df
        alone = ~several
        parts[alone] = unweighted * (design.group_weights**2 @ onehot)[alone]
        free = np.where(several, free, pooled_df)
    total = float(parts.sum())
    spread = float((parts**2 / free).sum())
    return total, total**2 / spread if spread > 0 else float(max(pooled_df, 1))


# ── bootstrap, for metrics without a linear form ──────────────────────────────────────────────


def draw_groups(design: Layout, *, images: int, draws: int, seed: int) -> Float32:
    """Weights of images in ``draws`` resamples of test groups, float32 [B, n].

    One draw serves all replicates and arms. Within a stratum of n_h groups, n_h − 1 are drawn and
    weighted by n_h/(n_h − 1), which makes the variance unbiased (Rao & Wu 1988).
    """
    rng = generator_for(seed, "test_groups")
    weights = np.ones((draws, images), dtype=np.float32)
    sizes = np.diff(np.append(design.starts, len(design.order)))
    codes = np.empty(len(design.order), dtype=np.int64)
    codes[design.order] = np.repeat(np.arange(design.groups), sizes)
    times = np.ones((draws, design.groups), dtype=np.float32)
    for stratum in np.unique(design.strata):
        members = np.flatnonzero(design.strata == stratum)
        n = len(members)
        if n > 1:
            drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=draws)
            times[:, members] = drawn * (n / (n - 1))
    weights[:, design.images] = times[:, codes]
    return weights


def bootstrap_interval(
    estimates: Float64, resampled: Float64, design: Layout, *, seed: int, shared: float = 0.0
) -> Interval:
    """Interval of a metric without a linear form.

    The resamples of test groups take the place of the linear table: their mean over rows gives
    V_test, the rows' departures from it V_interaction; V_fit comes from the rows themselves. The
    standard error of the plain pigeonhole bootstrap (rows and groups resampled independently;
    Owen 2007) counts the interaction up to three times; it stands beside in the components.

    Draws in which the metric has no value, since they hold no image of a class, are left out and
    counted.

    Args:
        estimates: the metric per row [F].
        resampled: the metric per row and draw [F, B].
        design: by class; its groups were drawn.
        seed: of the pigeonhole's rows.
        shared: as in :func:`crossed_interval`.
    """
    defined = np.isfinite(resampled).all(axis=0)
    undefined = int((~defined).sum())
    if defined.sum() > 1:
        resampled = resampled[:, defined]
    rows, draws = resampled.shape
    mean = resampled.mean(axis=0)
    interaction = 0.0
    if rows > 1:
        residual = resampled - mean
        interaction = float(residual.var(axis=1, ddof=1).sum()) / (rows * (rows - 1))
    df = max(design.groups - len(np.unique(design.strata)), 1)
    picked = generator_for(seed, "pigeonhole").integers(rows, size=(rows, draws))
    pigeonhole = np.take_along_axis(resampled, picked, axis=0).mean(axis=0)
    return combine(
        estimates,
        test=max(float(mean.var(ddof=1)), design.variance_floor),
        test_df=df,
        interaction=interaction,
        interaction_df=df * max(rows - 1, 1),
        method=f"crossed bootstrap ({draws} draws of test groups), t",
        shared=shared,
        pigeonhole_standard_error=float(pigeonhole.std(ddof=1)),
        **({"undefined_draws": float(undefined)} if undefined else {}),
    )
