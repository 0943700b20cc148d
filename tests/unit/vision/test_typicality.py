"""How unusual a picture is: known answers for held-out pictures, copies and noise."""

from __future__ import annotations

import numpy as np
import pytest

from synthlift.testing.inputs import draw_images
from synthlift.vision.encoders import CallableEncoder
from synthlift.vision.typicality import Typical


@pytest.fixture(scope="module")
def typical() -> Typical:
    trained = CallableEncoder(
        "pixels", lambda pixels: (pixels.reshape(len(pixels), -1) / 255).astype(np.float32)
    )
    train, held_out = draw_images(300, seed=1)[0], draw_images(200, seed=2)[0]
    return Typical.of(train, held_out=held_out, trained=trained)


def test_further_real_pictures_stand_anywhere_among_the_held_out(typical: Typical) -> None:
    shares = [one.farther_than for one in typical.look(draw_images(200, seed=3)[0])]
    assert 0.4 < np.mean(shares) < 0.6
    assert 0.02 < np.mean(np.array(shares) > 0.9) < 0.2
    assert np.mean([one.near_copy for one in typical.look(draw_images(200, seed=4)[0])]) < 0.05


def test_training_pictures_are_found_and_told_as_copies(typical: Typical) -> None:
    train = draw_images(300, seed=1)[0]
    found = typical.look(train[40:50])
    assert [one.nearest for one in found] == list(range(40, 50))
    assert all(one.near_copy for one in found)
    slightly = np.clip(train[40:50].astype(int) + 3, 0, 255).astype(np.uint8)
    assert all(one.near_copy for one in typical.look(slightly))


def test_noise_is_more_unusual_than_any_real_picture(typical: Typical) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)
    assert [one.farther_than for one in typical.look(noise)] == [1.0] * 8
