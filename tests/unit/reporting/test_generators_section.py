"""Curves and warnings of generators that tell more than a loss."""

from __future__ import annotations

from synthlift.reporting import render
from synthlift.spec.facts import AdaptationResult, GeneratorResult
from tests.unit.reporting.sample import sample_results

COLLAPSED = "At step 300 of its training, the generator had collapsed."


def _gan() -> GeneratorResult:
    named = {
        "generator_loss": 0.8,
        "discriminator_loss": 0.6,
        "gradient_penalty_real": 0.2,
        "gradient_penalty_generated": 0.1,
        "augmentation_probability": 0.3,
        "diversity": 0.7,
        "diversity_of_the_lowest_class": 0.4,
    }
    history = [
        {"step": float(step), name: value + step / 1000}
        for name, value in named.items()
        for step in (100, 200, 300)
    ]
    return GeneratorResult(name="mine", kind="gan", fits=2, history=history, warnings=[COLLAPSED])


def test_every_curve_is_shown_and_alike_ones_share_a_panel() -> None:
    results = sample_results()
    results.generators = [_gan()]
    page = render(results, folder=None)
    titles = (
        "Training loss",
        "Gradient penalty",
        "Augmentation probability",
        "Diversity",
    )
    assert [page.count(f"<h4>{title}</h4>") for title in titles] == [1, 1, 1, 1]
    assert page.count("against training step") >= len(titles)
    for name in ("generator loss", "gradient penalty real", "diversity of the lowest class"):
        assert name in page
    assert "step 300: 1.1" in page
    assert "step 300: 0.7" in page


def test_a_generators_warning_stands_beside_it() -> None:
    results = sample_results()
    results.generators = [_gan()]
    assert COLLAPSED in render(results, folder=None)
    results.generators[0].warnings = []
    assert COLLAPSED not in render(results, folder=None)


def test_translated_pairs_are_told_beside_what_they_were() -> None:
    results = sample_results()
    told = {"training": 300.0, "validation": 100.0, "ssim": 0.9628, "psnr": 21.38}
    before = {"ssim_untranslated": 0.6961, "psnr_untranslated": 13.36}
    pairs = {**told, **before}
    results.generators = [GeneratorResult(name="mine", kind="translation", fits=2, pairs=pairs)]
    page = render(results, folder=None)
    assert "<dt>pairs held out</dt><dd>100</dd>" in page
    assert "0.963 (untranslated 0.696)" in page
    assert "21.4 dB (untranslated 13.4 dB)" in page
    results.generators[0].pairs = {"training": 3.0, "validation": 0.0}
    page = render(results, folder=None)
    assert "<dt>pairs held out</dt><dd>0</dd>" in page
    assert "dB" not in page


def test_losses_of_an_adapter_a_class_are_called_means() -> None:
    results = sample_results()
    learnt = AdaptationResult(
        kind="lora",
        adapters=2,
        images=6,
        steps_done=8,
        steps_kept=4,
        loss_before=0.5,
        loss_after=0.25,
    )
    results.generators = [
        GeneratorResult(name="mine", kind="text_to_image", fits=1, adaptation=learnt)
    ]
    mean = "loss on validation images, mean over classes"
    assert f"<dt>{mean}</dt><dd>0.5 before, 0.25 after</dd>" in render(results, folder=None)
    results.generators[0].adaptation = learnt.model_copy(update={"adapters": 1})
    page = render(results, folder=None)
    assert "<dt>loss on validation images</dt>" in page
    assert mean not in page
