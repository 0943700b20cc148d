"""Membership attacks on real fits: digits learnt by heart are told, fresh ones are not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.vae.config import VAEConfig
from synthlift.registry import ComponentConfig, descriptor
from synthlift.study.stages.membership import scores
from synthlift.types import FitInputs, FittedGenerator, Generator, ImageSet, LockedTest, RunContext
from synthlift.vision.membership import Attack, attack


def _digits() -> ImageSet:
    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
    order = np.random.default_rng(0).permutation(len(pixels))
    return ImageSet.from_arrays(pixels[order], digits.target[order], tuple("0123456789"))


DIGITS = _digits()
SEEN, UNSEEN, FRESH = (DIGITS.subset(np.arange(*ends)) for ends in ((60,), (60, 260), (260, 460)))


def _fitted(kind: str, config: ComponentConfig, folder: Path) -> FittedGenerator:
    names = np.array(["locked"])
    lock = LockedTest(ids=names, groups=names, hashes=names)
    generator: Generator = descriptor("generators", kind).build(config)
    inputs = FitInputs(train=SEEN, validation=UNSEEN, test=lock)
    return generator.fit(inputs, run=RunContext(folder=folder, seed=1))


def _attacks(fitted: FittedGenerator) -> Iterator[tuple[str, Attack, Attack]]:
    """By name: the attack on images that were learnt, and on fresh ones in their place."""
    for name, score in scores(fitted).items():
        seen, unseen, fresh = (
            score(images.subset(np.arange(60)), 5) for images in (SEEN, UNSEEN, FRESH)
        )
        yield name, attack(seen, unseen), attack(fresh, unseen)


@pytest.mark.parametrize(
    ("kind", "config", "names"),
    [
        (
            "flow",
            FlowConfig(steps=300, batch_size=64, width=128, augmentation=0, micro_batch=60),
            {"loss", "likelihood"},
        ),
        ("vae", VAEConfig(steps=300, batch_size=64, augmentation=0), {"loss"}),
    ],
)
def test_digits_learnt_by_heart_are_told_and_fresh_ones_are_not(
    kind: str, config: ComponentConfig, names: set[str], tmp_path: Path
) -> None:
    fitted = _fitted(kind, config, tmp_path)
    found = {name: (caught, fresh) for name, caught, fresh in _attacks(fitted)}
    assert set(found) == names
    for name, (caught, fresh) in found.items():
        assert caught.auc - 3 * caught.error > 0.5, name
        assert abs(fresh.auc - 0.5) < 0.2, name
    caught, fresh = found["loss"]
    assert caught.auc > 0.8
    assert fresh.caught < 0.1


def test_generators_that_tell_nothing_of_an_image_are_not_attacked(tmp_path: Path) -> None:
    config = descriptor("generators", "gan").config.model_validate(
        {"steps": 4, "batch_size": 8, "width": 8}
    )
    assert not scores(_fitted("gan", config, tmp_path))
