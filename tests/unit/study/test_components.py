"""What is asked of a generator's settings before it is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthlift.spec.study import Component
from synthlift.study.components import makes_from_sources


@pytest.mark.parametrize(
    ("method", "made"), [("variation", True), ("between_classes", False), ("inpainting", True)]
)
def test_images_between_classes_are_not_made_from_hard_ones_of_their_class(
    tiny_pipeline: Path, method: str, made: bool
) -> None:
    component = Component.model_validate(
        {"kind": "image_to_image", "model": str(tiny_pipeline), "method": method}
    )
    assert makes_from_sources(component) is made


def test_only_generators_that_start_from_images_are_given_some() -> None:
    assert makes_from_sources(Component(kind="cut_paste"))
    assert not makes_from_sources(Component(kind="flow"))
