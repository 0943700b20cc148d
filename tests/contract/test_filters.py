from __future__ import annotations

import pytest

from synthlift.registry import available
from synthlift.testing import selectors
from synthlift.testing.filters import CHECKS, Check, check_filter

CONFIGS: dict[str, list[dict[str, object]]] = {
    "exact_duplicates": [{}],
    "near_copies": [{}, {"quantile": 0, "relative": 0.3}],
    "pixel_copies": [{}],
    "class_agreement": [{}, {"keep": 1}],
    "clip_score": [{}, {"keep": 1}],
    "confidence_band": [{}, {"low": 0, "high": 0.9}],
    "outliers": [{}, {"method": "mahalanobis"}, {"method": "knn", "neighbours": 1}],
    "low_contrast": [{}],
    "quality": [{}, {"quantile": 0.05, "margin": 0.1}],
}
SELECTORS: dict[str, list[dict[str, object]]] = {
    "diversity": [{}, {"method": "k_centre", "keep": 0.5}],
}
CASES = [(kind, settings) for kind, several in CONFIGS.items() for settings in several]
SELECTING = [(kind, settings) for kind, several in SELECTORS.items() for settings in several]


def test_every_registered_filter_is_tested() -> None:
    assert set(available("filters")) == {*CONFIGS, *SELECTORS}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "settings"), CASES, ids=lambda value: str(value))
def test_contract(kind: str, settings: dict[str, object], check: Check) -> None:
    descriptor = available("filters")[kind]
    check(descriptor, descriptor.config.model_validate(settings))


@pytest.mark.parametrize("check", selectors.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "settings"), SELECTING, ids=lambda value: str(value))
def test_contract_of_selectors(kind: str, settings: dict[str, object], check: Check) -> None:
    descriptor = available("filters")[kind]
    check(descriptor, descriptor.config.model_validate(settings))


def test_the_whole_suite_runs_at_once() -> None:
    for kind, check in (("near_copies", check_filter), ("diversity", selectors.check_selector)):
        descriptor = available("filters")[kind]
        check(descriptor, descriptor.config())
