from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.generators.conditions import Vocabulary
from synthlift.generators.gan.augmentation import (
    RAMP_IMAGES,
    adapted,
    apply_changes,
    draw_changes,
)
from synthlift.generators.gan.collapse import FEWEST_COMPARED, diversity_judge, spread
from synthlift.generators.gan.generator import GANFitted
from synthlift.generators.learning.looking import looks_at_samples
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import (
    FittedGenerator,
    ImageBatch,
    ImageSet,
    MonitorReading,
    RunContext,
    SampleRequest,
)
from tests.unit.generators.one_pass import DIGITS, digits, fit, inputs_of, recognised


def _digits(count: int) -> ImageSet:
    pixels, labels = digits()
    return ImageSet.from_arrays(pixels[:count], labels[:count], DIGITS)


def _facts(folder: Path, **settings: Any) -> dict[str, Any]:
    found = fit("gan", folder, inputs_of(_digits(200)), **settings)
    assert isinstance(found, GANFitted)
    return found.facts()


def test_digits_are_learnt_in_seconds(tmp_path: Path) -> None:
    found = fit("gan", tmp_path, inputs_of(_digits(300)), steps=500, batch_size=32, width=64)
    by_unseen, by_samples = recognised(found, seen=300)
    assert by_unseen > 0.8
    assert by_samples > 0.75
    assert isinstance(found, GANFitted)
    assert "warnings" not in found.facts()


@pytest.mark.slow
def test_a_thousand_digits_train_nearly_as_well_as_real_ones(tmp_path: Path) -> None:
    found = fit("gan", tmp_path, inputs_of(_digits(1000)))
    by_unseen, by_samples = recognised(found, seen=1000, count=1000)
    assert by_unseen > 0.95
    assert by_samples > 0.95


def test_stability_curves_are_told(tmp_path: Path) -> None:
    facts = _facts(tmp_path, steps=100, batch_size=16, width=32, readings=4)
    curves = facts["curves"]
    assert set(curves) == {
        "generator_loss",
        "discriminator_loss",
        "discriminator_gap",
        "real_above_generated",
        "real_above_generated_smoothed",
        "gradient_penalty_real",
        "gradient_penalty_generated",
        "augmentation_probability",
        "diversity",
        "diversity_of_the_lowest_class",
    }
    assert [step for step, _ in curves["diversity"]] == [25, 50, 75, 100]
    assert len(curves["discriminator_gap"]) == 100
    shares = [value for _, value in curves["real_above_generated"]]
    assert min(shares) >= 0
    assert max(shares) <= 1
    assert json.loads(json.dumps(facts)) == facts


def test_spread_is_the_mean_distance_between_two_images() -> None:
    images = np.zeros((3, 2, 2, 1), np.uint8)
    images[1], images[2, 0, 0] = 255, 255
    expected = (2.0 + 1.0 + np.sqrt(3.0)) / 3
    assert spread(images) == pytest.approx(expected)
    assert spread(images[:1]) == 0


def test_real_images_are_diverse_and_copies_of_one_are_not() -> None:
    train = _digits(400)
    judge = diversity_judge(train, least=0.3, seed=0)
    assert judge is not None
    pixels, labels = digits()
    fresh = judge(ImageBatch(pixels=pixels[800:1100], labels=labels[800:1100]))
    assert fresh.acceptable
    assert fresh.problem == ""
    assert fresh.curves["diversity"] == pytest.approx(1, abs=0.1)
    collapsed = pixels[800:1100].copy()
    collapsed[labels[800:1100] == 4] = pixels[labels == 4][0]
    seen = judge(ImageBatch(pixels=collapsed, labels=labels[800:1100]))
    assert not seen.acceptable
    assert seen.curves["diversity_of_the_lowest_class"] == 0
    assert "its images of '4' were nearly alike (down to 0% of" in seen.problem


@pytest.mark.parametrize("classes", [10, 60])
def test_a_collapsed_class_is_seen_however_many_classes_there_are(
    classes: int, tmp_path: Path
) -> None:
    """All classes but one are drawn as they are, that one always as the same image."""
    rng = np.random.default_rng(0)
    labels = np.arange(classes * 20) % classes
    pixels = rng.integers(0, 256, (len(labels), 8, 8, 1), np.uint8)
    train = ImageSet.from_arrays(pixels, labels, [f"class {k:02}" for k in range(classes)])

    def collapsed(_: dict[str, torch.Tensor]) -> FittedGenerator:
        return Drawing(train, collapsed=7)

    look = looks_at_samples(
        collapsed,
        vocabulary=Vocabulary.of(train),
        images=256,
        run=RunContext(folder=tmp_path, seed=1),
        judge=diversity_judge(train, least=0.3, seed=0),
        each=FEWEST_COMPARED,
    )
    assert look is not None
    seen = look(1, {})
    assert not seen.acceptable
    assert "its images of 'class 07' were nearly alike" in seen.problem


class Drawing(FittedGenerator):
    """Draws random images, those of one class always alike."""

    def __init__(self, like: ImageSet, *, collapsed: int) -> None:
        self._shape, self._collapsed = like.image_shape, collapsed

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._shape

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        for request in requests:
            seed = 0 if request.label == self._collapsed else request.seed % 2**32
            pixels = np.random.default_rng(seed).integers(0, 256, (1, *self._shape), np.uint8)
            yield ImageBatch(pixels=pixels, labels=np.array([request.label]))

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def test_a_class_of_one_or_of_equal_images_is_not_judged() -> None:
    pixels, labels = digits()
    one = pixels[labels == 0][:1]
    train = ImageSet.from_arrays(np.repeat(one, 5, axis=0), [0, 0, 0, 0, 1], ("a", "b"))
    assert diversity_judge(train, least=0.3, seed=0) is None


@pytest.mark.parametrize("least", [0.3, 0])
def test_that_no_class_could_be_judged_is_told_where_it_was_asked_for(
    tmp_path: Path, least: float
) -> None:
    pixels, labels = digits()
    first = np.array([np.flatnonzero(labels == label)[0] for label in range(10)])
    train = ImageSet.from_arrays(pixels[first], labels[first], DIGITS)
    settings: dict[str, Any] = {"steps": 2, "batch_size": 4, "width": 16, "readings": 1}
    found = fit("gan", tmp_path, inputs_of(train), least_diversity=least, **settings)
    assert isinstance(found, GANFitted)
    told = found.facts().get("warnings", [])
    assert any("alike was not judged: no class has two" in one for one in told) == (least > 0)


def test_a_loss_of_diversity_ends_the_training_and_the_weights_before_it_are_kept(
    tmp_path: Path,
) -> None:
    """Too fast and without a penalty, samples become alike; here the limit is high."""
    facts = _facts(
        tmp_path,
        steps=400,
        batch_size=16,
        width=32,
        learning_rate=0.05,
        gradient_penalty=1e-6,
        augmentation=0,
        readings=20,
        least_diversity=0.6,
    )
    (warning,) = facts["warnings"]
    assert 0 < facts["kept_step"] == facts["steps_done"] - 40 < 360
    assert warning.startswith(f"At step {facts['steps_done']} of its training, the generator had")
    assert warning.endswith(f"The weights of step {facts['kept_step']} are kept.")
    lowest = dict(facts["curves"]["diversity_of_the_lowest_class"])
    assert lowest[facts["kept_step"]] >= 0.6 > lowest[facts["steps_done"]]


def test_a_saturated_discriminator_is_told() -> None:
    from synthlift.generators.gan.config import GANConfig, settle
    from synthlift.generators.gan.networks import (
        build_discriminator,
        build_generator,
        plan_network,
    )
    from synthlift.generators.gan.training import GANLearner
    from synthlift.generators.learning.examples import load_examples

    asked = GANConfig(steps=9, width=8, depth=1, batch_size=64, latent=4)
    config, train = settle(asked, examples=20, image_shape=(8, 8, 1)), _digits(20)
    plan = plan_network(config, image_shape=(8, 8, 1), conditions=(10,))
    examples = load_examples(train, Vocabulary.of(train), class_balance=0, device="cpu")
    learner = GANLearner(
        build_generator(plan, seed=0),
        build_discriminator(plan, seed=1),
        examples=examples,
        config=config,
        seed=0,
    )
    memory: dict[str, float] = {}
    for _ in range(20):
        memory = learner.remember({"real_above_generated": 1.0}, memory, steps=25)
    assert learner.trouble(memory).startswith("the discriminator was saturated: it told 100% of")
    assert memory["augmentation_probability"] == pytest.approx(0.32)
    for _ in range(4):
        memory = learner.remember({"real_above_generated": 0.8}, memory, steps=25)
    assert learner.trouble(memory) == ""


def test_refused_copies_and_collapses_are_told_apart(tmp_path: Path) -> None:
    """The copying monitor's verdict stays its own when diversity is what is wrong."""
    from synthlift.registry import available
    from synthlift.types import RunContext

    descriptor = available("generators")["gan"]
    config = descriptor.config.model_validate(
        {"steps": 6, "batch_size": 8, "width": 16, "readings": 3, "least_diversity": 0.99}
    )

    def accepts(step: int, samples: ImageBatch) -> MonitorReading:
        return MonitorReading(value=1.2, acceptable=True)

    run = RunContext(folder=tmp_path, seed=1, monitor=accepts)
    facts = descriptor.build(config).fit(drawn_inputs(), run=run).facts()
    assert facts["copying_watched"] is True
    assert facts["copying_acceptable"] is True
    assert facts["kept_step"] == 6
    assert "No step was better." in facts["warnings"][0]


@pytest.mark.parametrize(
    ("now", "sign", "then"), [(0.2, 0.9, 0.3), (0.2, 0.1, 0.1), (0.75, 1.0, 0.8), (0.05, 0.0, 0.0)]
)
def test_augmentation_follows_how_sure_the_discriminator_is(
    now: float, sign: float, then: float
) -> None:
    images = RAMP_IMAGES // 10
    assert adapted(now, sign=sign, images=images, highest=0.8) == pytest.approx(then)


def test_changes_are_drawn_with_the_probability_and_can_be_learnt_through() -> None:
    stream = torch.Generator().manual_seed(0)
    changes = draw_changes(4000, probability=0.3, stream=stream)
    shares = (changes != 0).double().mean(0)
    assert shares.tolist() == pytest.approx([0.3] * 6, abs=0.03)
    images = torch.rand(8, 3, 12, 12, generator=stream)
    assert torch.equal(apply_changes(images, torch.zeros(8, 6)), images)
    images.requires_grad_(True)
    changed = apply_changes(images, changes[:8])
    torch.autograd.backward(changed.sum())
    assert images.grad is not None
    assert bool((images.grad != 0).any(dim=(1, 2, 3)).all())
    brighter = torch.zeros(1, 6)
    brighter[0, 4] = 0.25
    torch.testing.assert_close(apply_changes(images[:1], brighter), images[:1] + 0.25)
