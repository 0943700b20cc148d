from __future__ import annotations

import pytest

from synthlift.registry import available
from synthlift.testing.filters import CHECKS, Check, check_filter

CONFIGS: dict[str, list[dict[str, object]]] = {
    "exact_duplicates": [{}],
    "near_copies": [{}, {"quantile": 0, "relative": 0.3}],
    "class_agreement": [{}, {"keep": 1}],
}
CASES = [(kind, settings) for kind, several in CONFIGS.items() for settings in several]


def test_every_registered_filter_is_tested() -> None:
    assert set(available("filters")) == set(CONFIGS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("kind", "settings"), CASES, ids=lambda value: str(value))
def test_contract(kind: str, settings: dict[str, object], check: Check) -> None:
    descriptor = available("filters")[kind]
    check(descriptor, descriptor.config.model_validate(settings))


def test_the_whole_suite_runs_at_once() -> None:
    descriptor = available("filters")["near_copies"]
    check_filter(descriptor, descriptor.config())
