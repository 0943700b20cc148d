"""How many synthetic images: a line for what is alike, whoever made the images."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import pytest

from synthlift.reporting import render, summary_text
from synthlift.reporting.reading import Reading
from synthlift.reporting.sections.crossings import interaction
from synthlift.reporting.sections.curve import Curve, curve
from synthlift.spec.results import CurvePoint, Results
from tests.unit.reporting.sample import ARM, RIVAL, estimate, sample_results

GENERATORS = ("flow", "vae", "gan")


def several(
    generators: Sequence[str] = GENERATORS, *, bases: Sequence[str] = ("best_rival",)
) -> Results:
    """The sample study with arms of several generators; the first one's bear no name of it."""
    results = sample_results()
    arms, points = [arm for arm in results.arms if arm.role == "rival"], []
    template = next(arm for arm in results.arms if arm.name == ARM)
    for base in bases:
        origin = RIVAL if base == "best_rival" else "real"
        points.append(_point(origin, base, 0, 0.86))
        for place, generator in enumerate(generators):
            for multiple in (1, 2):
                name = f"targeted@{multiple}" + ("+rival" if base == "best_rival" else "")
                name = name if place == 0 else f"{generator}:{name}"
                arms.append(
                    template.model_copy(update={"name": name, "label": "", "generator": generator})
                )
                points.append(_point(name, base, multiple, 0.8 + 0.01 * place + 0.001 * multiple))
    named = results.model_copy(update={"arms": arms, "curve": points})
    return Results.model_validate(named.model_dump())


def _point(arm: str, base: str, multiple: float, value: float) -> CurvePoint:
    found = estimate(value)
    return CurvePoint(
        arm=arm, target="fill_to_largest", base=base, multiple=multiple, estimate=found
    )


def drawn(results: Results) -> Curve:
    found = curve(Reading(results))
    assert found is not None
    return found


def lines_of(plot: str) -> list[int]:
    """Joins of every series: as many as its points less one."""
    return [part.count('class="join') for part in plot.split('class="series ')[1:]]


def test_every_generator_has_a_line_of_its_own() -> None:
    found = drawn(several())
    (panel,) = found.panels
    assert lines_of(panel.plot)[:4] == [2, 2, 2, 0], (
        "three lines of two steps, and where they begin"
    )
    names = re.findall(r"</svg>([^<]+)</li>", found.legend)
    assert names == ["logit_adjusted: no synthetic images", *GENERATORS]
    assert found.shared == "targeted, filling classes to the largest, best rival's recipe"
    assert found.sources


def test_every_interval_is_drawn_once() -> None:
    (panel,) = drawn(several()).panels
    assert panel.plot.count('class="ci"') == 1 + 3 * 2
    shifts = re.findall(r'<svg x="(-?[\d.]+)" class="series s-[abc]"', panel.plot)
    assert len(set(shifts)) == 3, "no interval covers another"


def test_lines_differ_by_colour_and_by_shape() -> None:
    legend = drawn(several()).legend
    assert [f's-{colour}"' in legend for colour in "abc"] == [True] * 3
    assert {"<circle", "M0-6.6", "M-4.6"} <= set(re.findall(r"<circle|M0-6\.6|M-4\.6", legend))


def test_few_lines_are_named_beside_their_ends() -> None:
    (panel,) = drawn(several()).panels
    assert all(f">{name}</text>" in panel.plot for name in GENERATORS)
    places = [float(y) for y in re.findall(r'<text x="18" y="([\d.]+)"', panel.plot)]
    assert all(b - a >= 17 for a, b in itertools.pairwise(places)), "none over another"


def test_many_lines_are_set_apart_by_generator_with_one_key() -> None:
    found = drawn(several(bases=("plain", "best_rival")))
    assert [panel.title for panel in found.panels] == list(GENERATORS)
    assert all(panel.plot.count('class="join dashed"') == 2 for panel in found.panels)
    names = re.findall(r"</svg>([^<]+)</li>", found.legend)
    assert len(names) == len(set(names)), "lines alike in all charts share a key"


def test_what_poses_as_synthetic_and_what_is_not_curated_are_lines_too() -> None:
    results = several(["flow"])
    extra = [
        _point("fresh:targeted@1+rival", "best_rival", 1, 0.9),
        _point("targeted-uncurated@1+rival", "best_rival", 1, 0.7),
    ]
    own = results.arms[-1].model_copy(update={"name": "targeted-uncurated@1+rival"})
    changed = {"curve": [*results.curve, *extra], "arms": [*results.arms, own]}
    found = drawn(results.model_copy(update=changed))
    (panel,) = found.panels
    assert sorted(lines_of(panel.plot)) == [0, 1, 1, 2]
    assert "uncurated" in found.legend
    assert "fresh" in found.legend


def test_the_numbers_name_the_generator(results: Results) -> None:
    rows = drawn(results).rows
    assert len(rows) == 1 + 3 * 2
    assert [row.source for row in rows] == ["–", *(g for g in GENERATORS for _ in range(2))]


@pytest.fixture
def results() -> Results:
    return several()


def test_the_first_generators_arms_are_named_like_the_others(results: Results) -> None:
    page, told = render(results, folder=None), summary_text(results)
    for words in (page, told):
        assert "flow:targeted@1+rival" in words
        assert "vae:targeted@1+rival" in words
    assert "in files <code>targeted@1+rival</code>" in page
    assert results.arm_named("flow:targeted@1+rival") == "targeted@1+rival"
    assert results.arm_named("targeted@1+rival") == "targeted@1+rival"
    assert results.arm_named("nobody") == "nobody"


def test_one_generator_needs_no_naming() -> None:
    results = several(["flow"])
    assert all(arm.label == arm.name for arm in results.arms)
    assert "in files" not in render(results, folder=None)
    assert not drawn(results).sources


def test_the_two_by_two_table_keeps_to_the_primary_arms_generator() -> None:
    """Alike arms of other generators come first in the curve; their figures are not the arm's."""
    results = several(("zeta", "alpha"), bases=("plain", "best_rival"))
    points = sorted(results.curve, key=lambda p: p.arm)
    found = interaction(Reading(results.model_copy(update={"curve": points})))
    assert found is not None
    assert found.table is not None
    names = [arms for _, arms, _ in found.table.rows]
    assert names == ["real, zeta:targeted@1", f"{RIVAL}, zeta:{ARM}"]


def test_the_two_by_two_table_keeps_to_the_primary_arms_filters() -> None:
    """An arm without filters comes first in the curve, as it does where it is written first."""
    results = several(("zeta",), bases=("plain", "best_rival"))
    plain = next(arm for arm in results.arms if arm.name == "targeted@1")
    point = next(p for p in results.curve if p.arm == plain.name)
    uncurated = {"arm": "targeted-uncurated@1"}
    results.arms.append(plain.model_copy(update={"name": uncurated["arm"], "label": ""}))
    results.curve.insert(0, point.model_copy(update=uncurated))
    found = interaction(Reading(results))
    assert found is not None
    assert found.table is not None
    assert found.table.rows[0][1].endswith("targeted@1")


def test_killed_attempts_make_costs_lower_bounds() -> None:
    results = sample_results()
    calm = render(results, folder=None)
    assert "≥" not in calm
    costs = [cost.model_copy(update={"at_least": cost.stage == "fit"}) for cost in results.cost]
    first = results.generators[0].model_copy(update={"cost_at_least": True})
    changed = {"cost": costs, "generators": [first, *results.generators[1:]]}
    page = render(results.model_copy(update=changed), folder=None)
    assert page.count("≥\u00a0") >= 6, "time, CPU time and energy of the stage and of the sum"
    assert "an attempt was killed, and what it took after its last note is not known" in page
