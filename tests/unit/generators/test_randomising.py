"""Domain randomisation: what each parameter does, and that it is drawn as it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_sample_image

from synthlift.generators.pool.config import LIMITS, PoolConfig, Randomisation
from synthlift.generators.pool.randomising import CHANGES, STYLE, randomise
from synthlift.types import UInt8

NEUTRAL = {"light": 1.0, "contrast": 1.0, "resolution": 1.0}


@pytest.fixture(scope="module")
def photo() -> UInt8:
    return np.ascontiguousarray(load_sample_image("flower.jpg")[100:228:2, 200:328:2])


def changed(image: UInt8, name: str, amount: float, *, seed: int = 0, **more: Any) -> UInt8:
    given = Randomisation.model_validate({name: (amount, amount), "share": 1.0, **more})
    return randomise(image, given, seed=seed, look=np.flip(image, axis=2).copy()).pixels


def sharpness(image: UInt8) -> float:
    grey = image.mean(axis=2)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def test_every_parameter_has_limits_and_a_change() -> None:
    assert set(LIMITS) == {STYLE, *CHANGES}
    assert set(LIMITS) == set(Randomisation.model_fields) - {"share"}


@pytest.mark.parametrize("name", sorted(set(LIMITS) - {"jpeg"}))
def test_a_neutral_amount_changes_nothing(photo: UInt8, name: str) -> None:
    found = changed(photo, name, NEUTRAL.get(name, 0.0))
    assert np.abs(found.astype(int) - photo).max() <= 1


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_grey_and_oblong_images_keep_their_shape(name: str) -> None:
    rng = np.random.default_rng(0)
    for shape in ((8, 8, 1), (20, 7, 3), (5, 30, 1)):
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        found = changed(image, name, max(LIMITS[name][0], 0.5 * LIMITS[name][1]))
        assert found.shape == shape
        assert found.dtype == np.uint8


def test_weather_does_what_its_name_says(photo: UInt8) -> None:
    dark = np.full_like(photo, 20)
    for name in ("fog", "rain", "snow"):
        less, more = (changed(dark, name, amount).mean() for amount in (0.2, 1.0))
        assert 20 < less < more
    fogged = changed(photo, "fog", 1.0).astype(float)
    assert fogged.std() < 0.7 * photo.std()
    # It comes from one side, and not always from the same.
    sides = [changed(dark, "fog", 1.0, seed=seed).mean(axis=(1, 2)) for seed in range(8)]
    assert {bool(rows[:8].mean() > rows[-8:].mean()) for rows in sides} == {True, False}


def test_light_does_what_its_name_says(photo: UInt8) -> None:
    grey = np.full_like(photo, 100)
    assert changed(grey, "light", 1.5).mean() == pytest.approx(150, abs=1)
    assert changed(photo, "contrast", 0.5).std() == pytest.approx(0.5 * photo.std(), rel=0.02)
    tinted = changed(grey, "colour", 0.3).reshape(-1, 3)
    assert tinted.mean() == pytest.approx(100, abs=1)
    assert np.abs(tinted.mean(axis=0) / 100 - 1).max() == pytest.approx(0.3, abs=0.02)
    shadow = changed(grey, "shadow", 0.6)
    assert (int(shadow.min()), int(shadow.max())) == (40, 100)
    styled = changed(photo, "style", 1.0).reshape(-1, 3).mean(axis=0)
    wanted = photo.reshape(-1, 3).mean(axis=0)[::-1]
    assert styled == pytest.approx(wanted, abs=6)


def test_a_camera_does_what_its_name_says(photo: UInt8) -> None:
    for name, amount in (("motion_blur", 0.15), ("blur", 0.03), ("resolution", 0.3)):
        found = changed(photo, name, amount)
        assert sharpness(found) < 0.8 * sharpness(photo), name
        assert found.mean() == pytest.approx(photo.mean(), abs=4), name
    vignette = changed(np.full_like(photo, 100), "vignette", 0.5)
    assert vignette[0, 0, 0] == pytest.approx(50, abs=1)
    assert vignette[32, 32, 0] == pytest.approx(100, abs=2)
    noisy = changed(np.full_like(photo, 128), "noise", 20).astype(float)
    assert noisy.std() == pytest.approx(20, rel=0.05)
    worse, better = (
        float(np.abs(changed(photo, "jpeg", quality).astype(float) - photo).mean())
        for quality in (5, 90)
    )
    assert worse > 2 * better > 0


def test_a_seed_gives_the_same_image_and_another_one_another(photo: UInt8) -> None:
    given = Randomisation(fog=(0, 1), motion_blur=(0, 0.2), noise=(0, 30), jpeg=(20, 95))
    drawn = [randomise(photo, given, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(drawn[0].pixels, drawn[1].pixels)
    assert drawn[0].parameters == drawn[1].parameters
    assert not np.array_equal(drawn[0].pixels, drawn[2].pixels)


def test_a_parameter_is_drawn_alike_whatever_else_is_asked_for(photo: UInt8) -> None:
    alone, among = Randomisation(fog=(0, 1)), Randomisation(fog=(0, 1), rain=(0, 1), jpeg=(20, 95))
    for seed in range(20):
        one, other = (randomise(photo, given, seed=seed).parameters for given in (alone, among))
        assert one.get("fog") == other.get("fog")


def test_amounts_fill_their_range_as_often_as_the_share_says(photo: UInt8) -> None:
    small = photo[:4, :4]
    given = Randomisation(light=(0.5, 1.5), share=0.3)
    found = [randomise(small, given, seed=seed).parameters.get("light") for seed in range(600)]
    amounts = [one for one in found if one is not None]
    assert len(amounts) / 600 == pytest.approx(0.3, abs=0.06)
    assert min(amounts) == pytest.approx(0.5, abs=0.05)
    assert max(amounts) == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"randomise": {"fog": [0.5, 0.2]}}, "from its lower to its upper end"),
        ({"randomise": {"jpeg": [0, 100]}}, "within 1 to 95"),
        ({"randomise": {}}, "no range is given"),
        ({"randomise": {"fogg": [0, 1]}}, "fogg"),
        ({"repeats": 3}, "gives the same picture 3 times"),
    ],
)
def test_settings_that_make_no_sense_are_refused(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        PoolConfig.model_validate({"source": "somewhere", **given})
