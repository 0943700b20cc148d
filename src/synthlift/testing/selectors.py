"""What every selector component must satisfy; third parties run it on their own descriptor.

from synthlift.testing.selectors import CHECKS

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_my_selector(check):
    check(MY_DESCRIPTOR, MyConfig())
"""

from __future__ import annotations

import numpy as np

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.testing.filters import Check, config_survives_json, filter_inputs
from synthlift.testing.inputs import (
    assert_never_opened,
    draw_images,
    global_random_state_untouched,
)
from synthlift.types import ImageBatch, Selector


def _calibrated(descriptor: Descriptor, config: ComponentConfig) -> Selector:
    selector: Selector = descriptor.build(config)
    selector.calibrate(filter_inputs())
    return selector


def _one_class(count: int = 20) -> ImageBatch:
    pixels, labels = draw_images(3 * count, seed=8)
    return ImageBatch(pixels[labels == 0], labels[labels == 0])


def gives_a_permutation(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Every row once; none, one and equal images are no special case."""
    selector = _calibrated(descriptor, config)
    assert 0 < selector.share <= 1
    batch = _one_class()
    same = ImageBatch(np.repeat(batch.pixels[:1], 5, axis=0), np.repeat(batch.labels[:1], 5))
    for one in (batch, same, ImageBatch(batch.pixels[:1], batch.labels[:1])):
        assert sorted(selector.order(one).tolist()) == list(range(len(one)))
    assert len(selector.order(ImageBatch(batch.pixels[:0], batch.labels[:0]))) == 0


def is_repeatable(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Two calibrations on the same inputs give the same order: nothing need be saved."""
    first, second = _calibrated(descriptor, config), _calibrated(descriptor, config)
    assert first.order(_one_class()).tolist() == second.order(_one_class()).tolist()


def leaves_global_random_state(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Calibrating and ordering draw nothing from anyone else's random numbers."""
    with global_random_state_untouched():
        _calibrated(descriptor, config).order(_one_class())


def never_reaches_for_the_test(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Neither calibrating nor ordering asks the locked test set for pixels or labels."""
    inputs = filter_inputs()
    selector: Selector = descriptor.build(config)
    selector.calibrate(inputs)
    selector.order(_one_class())
    assert_never_opened(inputs.test)


CHECKS: tuple[Check, ...] = (
    gives_a_permutation,
    is_repeatable,
    leaves_global_random_state,
    never_reaches_for_the_test,
    config_survives_json,
)


def check_selector(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Run the whole suite.

    Raises:
        AssertionError: the contract is broken; the message says how.
    """
    for check in CHECKS:
        check(descriptor, config)
