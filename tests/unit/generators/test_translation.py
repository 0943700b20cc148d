from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.svm import SVC

from synthlift.errors import Interrupted, SynthliftError
from synthlift.generators.learning.checkpoints import FILE
from synthlift.generators.translation.config import TranslationConfig
from synthlift.registry import available
from synthlift.store.files import hash_files
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import (
    FitInputs,
    GuardedPixels,
    ImageSet,
    LockedTest,
    MonitorReading,
    RunContext,
    SampleRequest,
)
from tests.unit.generators.killing import fit_drawn, kill_once_told
from tests.unit.generators.one_pass import digits, inputs_of, pixels_of
from tests.unit.generators.translating import (
    MODES,
    TINY,
    blurred,
    digit_set,
    fit,
    inverted,
    origins_of,
    requests_of,
    right,
)

# ── learning ──────────────────────────────────────────────────────────────────────────────────


def test_negatives_of_other_digits_are_translated_into_digits(tmp_path: Path) -> None:
    """A classifier of real digits recognises them; of the negatives it recognises none."""
    train, source = digit_set(0, 300, "ours"), digit_set(300, 600, "theirs", inverted)
    inputs = replace(inputs_of(train), sources={"source": source})
    fitted = fit(tmp_path, inputs, source="./x", steps=150, batch_size=16, readings=2)
    real = SVC(C=10).fit(train.pixels().reshape(300, -1), train.labels)
    made = fitted.translate(source.pixels(), source.labels)
    assert right(real, source.pixels(), source.labels) < 0.2
    assert right(real, made, source.labels) > 0.8
    pixels, labels = digits()
    of_made = SVC(C=10).fit(made.reshape(300, -1), source.labels)
    assert right(of_made, pixels[600:1200], labels[600:1200]) > 0.7
    facts = fitted.facts()
    assert facts["stock"]["3"] == (labels[300:600] == 3).sum() - int(
        0.1 * (labels[300:600] == 3).sum()
    )
    assert facts["curves"]["diversity"][-1][1] > 0.5
    assert json.loads(json.dumps(facts)) == facts


def test_blurred_digits_are_sharpened_beyond_what_they_were(tmp_path: Path) -> None:
    """Held-out pairs come nearer to their partners, by three measures."""
    source = digit_set(0, 400, "soft", blurred)
    held_out = digit_set(300, 400, "ours")
    inputs = replace(
        inputs_of(digit_set(0, 300, "ours")), validation=held_out, sources={"source": source}
    )
    settings: dict[str, Any] = {"steps": 120, "batch_size": 16, "readings": 3}
    fitted = fit(tmp_path, inputs, source="./x", pairing="name", **settings)
    pairs = fitted.facts()["pairs"]
    assert (pairs["training"], pairs["validation"]) == (300, 100)
    assert pairs["ssim"] > 0.85 > 0.75 > pairs["ssim_untranslated"]
    assert pairs["psnr"] > pairs["psnr_untranslated"] + 3
    soft, wanted = source.pixels(np.arange(300, 400)), held_out.pixels().astype(int)
    made = fitted.translate(soft, held_out.labels)
    assert np.abs(made - wanted).mean() < 0.6 * np.abs(soft - wanted).mean()
    curve = fitted.facts()["curves"]["structural_similarity_on_validation_pairs"]
    assert [step for step, _ in curve] == [40, 80, 120]


def test_masks_become_images_that_show_what_they_mark(tmp_path: Path) -> None:
    """Strokes of digits as masks; the changed mask lies beside its image."""
    train = digit_set(0, 300, "ours")
    masks = (train.pixels() > 127).astype(np.uint8)
    inputs = replace(inputs_of(train), masks=GuardedPixels(masks, np.arange(300)))
    fitted = fit(tmp_path, inputs, source="masks", steps=150, batch_size=16, readings=0)
    requests = [SampleRequest(index=i // 10, label=i % 10, seed=i) for i in range(100)]
    (batch, *more) = fitted.sample(requests)
    batches = [batch, *more]
    pixels = np.concatenate([one.pixels for one in batches])[..., 0].astype(int)
    drawn = np.concatenate([one.masks for one in batches if one.masks is not None])
    assert set(np.unique(drawn)) == {0, 255}
    assert pixels[drawn == 255].mean() > pixels[drawn == 0].mean() + 100
    real = SVC(C=10).fit(train.pixels().reshape(300, -1), train.labels)
    assert right(real, pixels, np.array([one.label for one in requests])) > 0.7
    known = {(mask * 255).tobytes() for mask in masks[..., 0]}
    assert np.mean([mask.tobytes() in known for mask in drawn]) < 0.8
    assert batch.origins is not None
    assert batch.origins[0].startswith("mask of ours/")


# ── what requests get ─────────────────────────────────────────────────────────────────────────


def test_every_source_image_is_used_before_any_is_used_again(tmp_path: Path) -> None:
    settings = {**TINY, **MODES["unpaired"], "variations": 3}
    fitted = fit(tmp_path, drawn_inputs(), **settings)
    names = origins_of(fitted, requests_of(0, 1000))
    assert len(names) == fitted.stock()["disc"] == 3 * 29
    rounds = [names[start : start + 29] for start in range(0, len(names), 29)]
    assert all(len(set(one)) == 29 for one in rounds)
    assert rounds[0] == rounds[1] == rounds[2]
    pixels = pixels_of(fitted, requests_of(0, 1000))
    assert len({image.tobytes() for image in pixels}) == len(pixels)
    reserved = origins_of(fitted, requests_of(0, 1000, stream="test"))
    assert len(set(reserved)) == 3
    assert not set(reserved) & set(names)


def test_what_belongs_to_a_training_image_is_changed_first(tmp_path: Path) -> None:
    """So that a translation is no copy; other source images are taken as they are."""
    fitted = fit(tmp_path, drawn_inputs(), **TINY, **MODES["by name"], reserved=0)
    source = drawn_inputs().sources["source"]
    rows = {name: row for row, name in enumerate(source.ids.tolist())}
    requests = requests_of(1, 32)
    names, pixels = origins_of(fitted, requests), pixels_of(fitted, requests)
    mine = np.array([rows[name] for name in names])
    plain = fitted.translate(source.pixels(mine), source.labels[mine])
    same = (pixels == plain).all(axis=(1, 2, 3))
    assert same.tolist() == [name.startswith("elsewhere_") for name in names]
    assert 0 < same.sum() < 32


def test_sources_of_judging_images_are_left_out(tmp_path: Path) -> None:
    """By name: neither learnt from nor translated into training images."""
    source = digit_set(0, 60, "soft", blurred)
    train, held_out = digit_set(0, 40, "ours"), digit_set(40, 50, "ours")
    ids = np.array([f"ours/{i}.png" for i in range(50, 55)])
    inputs = FitInputs(
        train=train,
        validation=held_out,
        test=LockedTest(ids=ids, groups=ids, hashes=ids),
        sources={"source": source},
    )
    fitted = fit(tmp_path, inputs, **TINY, **MODES["by name"], readings=0)
    facts = fitted.facts()
    assert facts["pairs"]["training"] == 40
    assert facts["pairs"]["validation"] == 10
    assert facts["left_out"] == 15
    used = {
        name
        for label in range(10)
        for stream in ("train", "test")
        for name in origins_of(fitted, requests_of(label, 1000, stream=stream))
    }
    assert used == {f"soft/{i}.png" for i in (*range(40), *range(55, 60))}


def test_a_class_without_a_source_gets_nothing_and_is_named(tmp_path: Path) -> None:
    inputs = drawn_inputs()
    source = inputs.sources["source"]
    # Of 'never_seen' there are source images, but no training image shows how it looks.
    moved = replace(source, labels=np.where(source.labels == 2, 3, source.labels))
    inputs = replace(inputs, sources={"source": moved})
    fitted = fit(tmp_path, inputs, **TINY, **MODES["unpaired"])
    assert not list(fitted.sample([*requests_of(2, 3), *requests_of(3, 3)]))
    assert not list(fitted.sample(requests_of(3, 3)))
    assert len(origins_of(fitted, [*requests_of(0, 2), *requests_of(2, 1)])) == 2
    stock = fitted.facts()["stock"]
    assert stock["ramp"] == stock["never_seen"] == 0 < stock["disc"]
    (warning,) = (w for w in fitted.facts()["warnings"] if "nothing to translate" in w)
    assert "'ramp', 'never_seen'" in warning


def test_the_monitor_sees_what_would_be_sampled(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def monitor(step: int, samples: Any) -> MonitorReading:
        seen.append((step, len(samples)))
        return MonitorReading(value=1.1, acceptable=True)

    config = TranslationConfig.model_validate({**TINY, **MODES["masks"], "readings": 3})
    generator = available("generators")["translation"].build(config)
    run = RunContext(folder=tmp_path, seed=1, monitor=monitor)
    facts = generator.fit(drawn_inputs(), run=run).facts()
    assert seen == [(1, 128), (2, 128), (3, 128)]
    assert facts["copying_watched"]
    assert facts["copying_acceptable"]


def test_a_class_of_one_source_image_hides_no_other_from_the_monitor(tmp_path: Path) -> None:
    seen: list[tuple[int, list[int]]] = []

    def monitor(step: int, samples: Any) -> MonitorReading:
        del step
        seen.append((len(samples), np.bincount(samples.labels, minlength=10).tolist()))
        return MonitorReading(value=1.1, acceptable=True)

    source = digit_set(0, 400, "negatives", inverted)
    fours = np.flatnonzero(source.labels == 4)
    source = source.subset(np.setdiff1d(np.arange(400), fours[1:]))
    inputs = replace(inputs_of(digit_set(400, 800, "train")), sources={"source": source})
    settings = {**TINY, **MODES["unpaired"], "variations": 1, "reserved": 0, "readings": 1}
    config = TranslationConfig.model_validate({**settings, "change": 0.5})
    run = RunContext(folder=tmp_path, seed=1, monitor=monitor)
    facts = available("generators")["translation"].build(config).fit(inputs, run=run).facts()
    ((count, by_class),) = seen
    assert count == 128
    assert by_class[4] == 1
    assert min(by_class[:4] + by_class[5:]) == 14
    assert len(facts["curves"]["diversity"]) == 1


# ── the same again ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", MODES)
def test_a_killed_fit_goes_on_and_ends_with_the_same_bits(mode: str, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    settings = {**TINY, **MODES[mode], "steps": 40, "checkpoint_seconds": 1e-6}
    child = partial(fit_drawn, kind="translation", folder=killed, settings=settings)
    kill_once_told(child, lambda done, _note: done >= 20)
    assert (killed / FILE).is_file()
    resumed = fit(killed, drawn_inputs(), **settings)
    whole = fit(tmp_path / "whole", drawn_inputs(), **settings)
    assert np.array_equal(
        pixels_of(resumed, requests_of(0, 9)), pixels_of(whole, requests_of(0, 9))
    )
    resumed.save(tmp_path / "a")
    whole.save(tmp_path / "b")
    assert hash_files(tmp_path / "a") == hash_files(tmp_path / "b")


def test_a_check_point_of_another_source_is_not_continued(tmp_path: Path) -> None:
    settings = {**TINY, **MODES["unpaired"], "steps": 30, "checkpoint_seconds": 1e-6}
    with pytest.raises(Interrupted):
        fit(tmp_path / "a", drawn_inputs(), stop_at=20, **settings)
    inputs = drawn_inputs()
    other = replace(inputs, sources={"source": inputs.sources["pool"]})
    found = fit(tmp_path / "a", other, **settings)
    fresh = fit(tmp_path / "b", other, **settings)
    assert np.array_equal(pixels_of(found, requests_of(0, 4)), pixels_of(fresh, requests_of(0, 4)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(20, 33, 3), (64, 64, 1)])
def test_any_image_size_can_be_translated(
    mode: str, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    pixels, others = rng.integers(0, 256, (2, 12, *shape)).astype(np.uint8)
    train = ImageSet.from_arrays(pixels, np.arange(12) % 3, ("a", "b", "c"))
    source = ImageSet.from_arrays(
        others, np.arange(12) % 3, ("a", "b", "c"), ids=train.ids.tolist()
    )
    masks = GuardedPixels(np.asarray(others[..., :1] // 128), np.arange(12))
    inputs = replace(inputs_of(train), sources={"source": source}, masks=masks)
    fitted = fit(tmp_path, inputs, **{**TINY, **MODES[mode], "steps": 2, "readings": 1})
    (batch,) = fitted.sample(requests_of(0, 3))
    assert batch.pixels.shape == (3, *shape)
    assert (batch.masks is None) == (mode != "masks")


@pytest.mark.parametrize("mode", MODES)
def test_a_loss_that_is_not_finite_is_refused_with_a_remedy(mode: str, tmp_path: Path) -> None:
    settings = {**TINY, **MODES[mode], "steps": 30, "learning_rate": 1e30}
    with pytest.raises(SynthliftError, match=r"training the translation .* not finite") as caught:
        fit(tmp_path, drawn_inputs(), **settings)
    assert "Remedy: lower 'learning_rate'" in str(caught.value)
