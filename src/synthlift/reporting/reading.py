"""What every section of the report reads from: the results, looked up and written consistently."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from markupsafe import Markup

from synthlift.reporting import text
from synthlift.spec.facts import Estimate
from synthlift.spec.results import ArmResult, Contrast, Results

State = Literal["live", "no_verdict", "final"]
ROLE_ORDER = ("rival", "generative", "control")
SHAPES = {"rival": "circle", "generative": "diamond", "control": "triangle"}


def state_of(results: Results) -> State:
    """Live until the test is opened; afterwards final, or without a verdict."""
    if results.verdict is not None:
        return "final"
    opened = results.openings is not None and results.openings.this_study > 0
    return "no_verdict" if opened or any(arm.metrics for arm in results.arms) else "live"


@dataclass(frozen=True)
class Numbers:
    """Writes estimates as HTML, each with the mark that the whole report must carry.

    Attributes:
        mark: "" or a short word set beside every number: "exploratory" or "validation".
        reason: why, in the mark's tooltip.
    """

    mark: str = ""
    reason: str = ""

    @property
    def tag(self) -> Markup:
        """The mark itself."""
        if not self.mark:
            return Markup("")
        short = {"exploratory": "expl.", "validation": "val."}[self.mark]
        return Markup(' <abbr class="mark" title="{}: {}">{}</abbr>').format(
            self.mark, self.reason, short
        )

    def value(self, metric: str, estimate: Estimate | None) -> Markup:
        """A metric's value, its interval and the mark."""
        if estimate is None:
            return Markup("<span class=none>{}</span>").format(text.MISSING)
        return self._written(
            text.metric_value(metric, estimate.value),
            text.metric_interval(metric, estimate),
            estimate,
        )

    def difference(self, contrast: Contrast | None) -> Markup:
        """A signed difference, its interval and the mark."""
        if contrast is None:
            return Markup("<span class=none>{}</span>").format(text.MISSING)
        estimate = contrast.difference
        return self._written(
            text.metric_difference(contrast.metric, estimate.value),
            text.metric_interval(contrast.metric, estimate),
            estimate,
        )

    def plain(self, estimate: Estimate | None, *, decimals: int = 2) -> Markup:
        """A number without a unit (a ratio), its interval and the mark."""
        if estimate is None:
            return Markup("<span class=none>{}</span>").format(text.MISSING)
        written = text.number(estimate.value, decimals)
        around = text.interval(estimate.low, estimate.high, scale=1, decimals=decimals)
        return self._written(written, around, estimate)

    def _written(self, value: str, interval: str, estimate: Estimate) -> Markup:
        around = Markup(' <span class="interval">{}</span>').format(interval) if interval else ""
        size = f"n = {text.count(estimate.n)}" if estimate.n else ""
        made = ", ".join(part for part in (size, estimate.method) if part)
        title = Markup(' title="{}"').format(made) if made else ""
        parts = (title, value, around, self.tag)
        return Markup('<span class="est"{}><b>{}</b>{}{}</span>').format(*parts)


@dataclass(frozen=True)
class Reading:
    """The results with look-ups. ``folder`` is the run folder, for the thumbnails."""

    results: Results
    folder: Path | None = None

    @cached_property
    def state(self) -> State:
        """See :func:`state_of`."""
        return state_of(self.results)

    @cached_property
    def validation_only(self) -> bool:
        """Whether no arm has test figures: before the opening, or when nothing was compared."""
        return self.state == "live" or not any(arm.metrics for arm in self.results.arms)

    @cached_property
    def numbers(self) -> Numbers:
        """How estimates are written in this report."""
        verdict = self.results.verdict
        if self.validation_only:
            return Numbers("validation", "measured on validation images, not on the test")
        if verdict is not None and verdict.exploratory:
            return Numbers("exploratory", "; ".join(verdict.exploratory_reasons) or "no verdict")
        return Numbers()

    @cached_property
    def metric(self) -> str:
        """The primary metric; before a verdict the first one that the arms share."""
        if self.results.verdict is not None:
            return self.results.verdict.metric
        for decision in self.results.decisions:
            if decision.name in ("primary_metric", "metric") and isinstance(decision.value, str):
                return decision.value
        shown = [name for arm in self.results.arms for name in self.metrics_of(arm)]
        return "balanced_accuracy" if "balanced_accuracy" in shown or not shown else shown[0]

    def metrics_of(self, arm: ArmResult) -> dict[str, Estimate]:
        """Test metrics; validation metrics where nothing was tested."""
        return arm.validation if self.validation_only else arm.metrics

    @cached_property
    def arms(self) -> tuple[ArmResult, ...]:
        """Rivals, generative arms, controls; in the study's order within each."""
        return tuple(sorted(self.results.arms, key=lambda arm: ROLE_ORDER.index(arm.role)))

    def arm(self, name: str) -> ArmResult | None:
        """An arm by name."""
        return next((arm for arm in self.results.arms if arm.name == name), None)

    def label(self, name: str) -> str:
        """What people read of an arm: its name, with its generator where there are several."""
        arm = self.arm(name)
        return arm.label if arm is not None and arm.label else name

    def contrast(self, arm: str, reference: str) -> Contrast | None:
        """The comparison of two arms on the primary metric, if it was made."""
        verdict = self.results.verdict
        known = [*self.results.contrasts, *([verdict.contrast] if verdict else [])]
        for item in known:
            if (item.arm, item.reference, item.metric) == (arm, reference, self.metric):
                return item
        return None

    def display(self, name: str) -> str:
        """A class's words for people."""
        return self.results.study.class_names.get(name) or name

    def displays(self, names: Sequence[str]) -> list[str]:
        """Several classes' words."""
        return [self.display(name) for name in names]

    def class_order(self, found: Sequence[str]) -> list[str]:
        """``found`` in the study's class order, unknown names last."""
        place = {name: i for i, name in enumerate(self.results.study.classes)}
        return sorted(dict.fromkeys(found), key=lambda name: (place.get(name, len(place)), name))
