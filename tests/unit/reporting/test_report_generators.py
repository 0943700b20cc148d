"""The table of generators in the report."""

from __future__ import annotations

from synthlift.reporting import render, text
from synthlift.study.energy import NOT_KNOWN
from tests.unit.reporting.sample import sample_results
from tests.unit.reporting.test_report import outline


def test_generators_stand_side_by_side_with_what_real_images_reach() -> None:
    results = sample_results()
    html = render(results, folder=None)
    page = outline(html)
    for said in ("Which generator? ", "CAS", "told apart", "86.0 %", "62.0 %", "93.0 %", "5,400"):
        assert said in page.words, said
    section = html.split('<section id="realism"')[1].split("</section>")[0]
    assert section.count("<tr") == 1 + 2 + 1
    # The difference of the arm in the verdict, and none for a generator without an arm.
    flow, gan, real = section.split("<tbody>")[1].split("</tr>")[:3]
    assert "targeted@1+rival" in flow
    assert '<span class="est"' in flow.split("</td>")[0]
    assert '<span class="est"' not in gan.split("</td>")[0]
    assert "real images" in real
    assert 'aria-label="Realism against efficiency' in section
    # The chart tells lift beside realism and energy, or that there is none.
    verdict = results.verdict
    assert verdict is not None
    told = verdict.contrast.difference
    figure = section.split("<figure>")[1].split("</figure>")[0]
    lift = f"flow, lift {text.points(told.value)} points"
    assert f"{lift} ({text.interval(told.low, told.high)})" in figure
    assert "gan, lift not tested" in figure
    assert "Wh, lift" in figure
    # A generator of its own is set against real images; one that was not measured has no table.
    alone = results.model_copy(update={"generators": results.generators[:1]})
    section = render(alone, folder=None).split('<section id="realism"')[1].split("</section>")[0]
    figure = section.split("<figure>")[1].split("</figure>")[0]
    assert 'aria-label="Realism against efficiency' in figure
    assert f"{lift} ({text.interval(told.low, told.high)})" in figure
    assert "gan" not in figure
    unmeasured = [one.model_copy(update={"quality": []}) for one in results.generators]
    none = render(results.model_copy(update={"generators": unmeasured}), folder=None)
    assert '<section id="realism"' not in none


def test_generators_measured_on_other_images_are_set_beside_their_own_floor() -> None:
    """One that makes no images of a class is measured on the others: no common mean of floors."""
    results = sample_results()
    first, second = results.generators
    floors = [one.model_copy(update={"held_out": 30, "floor": 0.5}) for one in second.quality]
    changed = {"generators": [first, second.model_copy(update={"quality": floors})]}
    html = render(results.model_copy(update=changed), folder=None)
    section = html.split('<section id="realism"')[1].split("</section>")[0]
    rows = section.split("<tbody>")[1].split("</tr>")[:4]
    assert ["real images" in row for row in rows] == [False, True, False, True]
    assert "93.0" in rows[1]
    assert "against 90 held-out ones" in rows[1]
    assert "50.0" in rows[3]
    assert "against 30 held-out ones" in rows[3]
    assert "not with each other" in section
    assert "the dashed line is" not in section


def test_what_a_membership_attack_means_is_said_in_a_sentence() -> None:
    results = sample_results()
    words = outline(render(results, folder=None)).words
    assert "A sign that the generator gives away what it was trained on" in words
    assert "4.0 % of the training images are told at 1 % false alarms" in words
    assert "its loss tells which is which in 62.0 % of the cases (58.0 % to 66.0 %;" in words
    assert "Membership attack on flow" in words
    assert "Membership attack on gan" not in words
    told = results.generators[0].membership[0]
    guessing = told.auc.model_copy(update={"value": 0.52, "low": 0.48, "high": 0.56})
    told = told.model_copy(update={"auc": guessing})
    flow = results.generators[0].model_copy(update={"membership": [told]})
    alone = results.model_copy(update={"generators": [flow]})
    words = outline(render(alone, folder=None)).words
    assert "No sign that the generator gives away what it was trained on" in words
    assert "no proof of privacy" in words


def test_energy_that_is_not_known_is_told_as_it_is_for_the_whole_study() -> None:
    results = sample_results()
    first, second = results.generators
    changed = {"generators": [first, second.model_copy(update={"energy_kwh": None})]}
    html = render(results.model_copy(update=changed), folder=None)
    section = html.split('<section id="realism"')[1].split("</section>")[0]
    assert f"–: {NOT_KNOWN}; the chart leaves such generators out." in section
    assert NOT_KNOWN not in render(results, folder=None)
