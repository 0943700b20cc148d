"""What ``results.json`` says of generators, from the artefacts of their fits and samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from synthlift.spec.blackened import Blackened
from synthlift.spec.facts import AdaptationResult, Estimate, GeneratorResult
from synthlift.store import Artefact
from synthlift.study.components import settings_of
from synthlift.study.gate import pastes
from synthlift.study.membership import membership_results
from synthlift.study.pools import fits_of, spent_on
from synthlift.study.realism import energy_kwh, quality_results
from synthlift.study.sharing import stocked
from synthlift.study.streams import Chunk
from synthlift.study.work import Work


def generator_results(
    work: Work,
    figures: Mapping[str, Sequence[Artefact]],
    quality: Mapping[str, Sequence[Artefact]],
    membership: Mapping[str, Sequence[Artefact]],
    *,
    kwh: Mapping[str, float | None],
) -> list[GeneratorResult]:
    """What is known of each generator over its fits; ``kwh`` is the energy of each artefact."""
    found = []
    for component in work.session.study.generators:
        pools = [p for p in work.pools.values() if p.generator == component.title]
        if not pools:
            continue
        fitted = fits_of(pools)
        facts = fitted[0].summary
        streams = [stream for pool in pools for stream in pool.streams.values()]
        sampled = [chunk for stream in streams for chunk in stream.chunks]
        taken = [chunk.sampling for chunk in sampled]
        seconds = sum(one.seconds - one.earlier_seconds for one in taken)
        images = sum(chunk.images for chunk in sampled)
        config = settings_of("generators", component)
        found.append(
            GeneratorResult(
                name=component.title,
                kind=component.kind,
                fits=len(fitted),
                one_pool=component.title in work.shared.one_pool,
                parameters=int(facts.get("parameters", 0)),
                copying_ratio=_ratio(figures.get(component.title, [])),
                copying_controls=_controls(figures.get(component.title, [])),
                copies=_mean("copies", figures.get(component.title, [])),
                held_out_copies=_mean("held_out_copies", figures.get(component.title, [])),
                gate_stopped=component.title in work.stopped,
                pastes=pastes(component),
                under_trained=work.generator_share < 1 and bool(config.trained_with(steps=1)),
                images_per_second=images / seconds if seconds else None,
                kept_share=sum(s.number_kept() for s in streams) / images if images else None,
                fit_seconds=float(np.mean([fit.record["cost"]["seconds"] for fit in fitted])),
                energy_kwh=energy_kwh(pools, kwh),
                cost_at_least=any(one.at_least for one in spent_on(pools)),
                quality=quality_results(quality.get(component.title, [])),
                membership=membership_results(membership.get(component.title, [])),
                history=_history(facts),
                config=config.model_dump(mode="json"),
                warnings=[*told_by_fits(fitted), *blackened(sampled)],
                pairs=_on_pairs(fitted),
                adaptation=_adaptation(fitted),
            )
        )
    return found


def pools_in_words(work: Work) -> list[str]:
    """Which generators gave one pool to all replicates, and what figures then speak of."""
    crossed, said = work.prepared.layout.design != "fixed", []
    fixed = stocked(work.session.study.generators)
    for name in dict.fromkeys(pool.generator for pool in work.pools.values()):
        if name in fixed:
            said.append(
                f"Generator '{name}' hands out images that were made before: the figures hold "
                "given these images, and others may give others."
            )
        if not work.given_pool(name):
            continue
        words = (
            f"Generator '{name}' learns nothing from the images, so one pool serves all "
            "replicates: the figures hold given this pool, and another one may give others."
        )
        if crossed:
            words += (
                " Every training set judged it by filters of its own; counts of generated images "
                "add up over training sets."
            )
        said.append(words)
    return said


def told_by_fits(fitted: Sequence[Artefact]) -> list[str]:
    """What fits warn of, each with how many of them do."""
    told = Counter(words for fit in fitted for words in fit.summary.get("warnings", []))
    return [
        words if len(fitted) == 1 else f"{words} ({times} of {len(fitted)} fits)"
        for words, times in told.items()
    ]


def blackened(sampled: Iterable[Chunk]) -> list[str]:
    """What a safety checker cost, in words; nothing where no image came out black."""
    seen = Blackened()
    for chunk in {chunk.key: chunk for chunk in sampled}.values():
        seen.add(chunk.images, redrawn=chunk.redrawn, black=chunk.black)
    return [f"{seen.words}."] if seen.words else []


def _on_pairs(fitted: Sequence[Artefact]) -> dict[str, float]:
    """What generators that learn from pairs tell of those held out, averaged over fits."""
    told = [fit.summary.get("pairs", {}) for fit in fitted]
    names = dict.fromkeys(name for one in told for name in one)
    return {name: float(np.mean([one[name] for one in told if name in one])) for name in names}


def _adaptation(fitted: Sequence[Artefact]) -> AdaptationResult | None:
    """How pretrained pipelines were adapted: means over fits, and what was learnt in each."""
    told = [fit.summary["adaptation"] for fit in fitted if "adaptation" in fit.summary]
    if not told:
        return None

    def mean(name: str) -> float | None:
        found = [one[name] for one in told if name in one]
        return float(np.mean(found)) if found else None

    return AdaptationResult(
        kind=told[0]["kind"],
        adapters=told[0]["adapters"],
        images=round(mean("images") or 0),
        steps_done=round(mean("steps_done") or 0),
        steps_kept=round(mean("steps_kept") or 0),
        loss_before=mean("loss_before"),
        loss_after=mean("loss_after"),
        sha256=[one["sha256"] for one in told],
    )


def _history(facts: Mapping[str, Any]) -> list[dict[str, float]]:
    """Loss, copying ratio and further curves against step, of a generator that reports them."""
    curves = {"loss": facts.get("losses", []), **facts.get("curves", {})}
    points = [
        {"step": step, name: value} for name, curve in curves.items() for step, value in curve
    ]
    readings = [
        {"step": one["step"], "copying_ratio": one["value"]}
        for one in facts.get("readings", [])
        if np.isfinite(one["value"])
    ]
    return [*points, *readings]


def _ratio(figures: Sequence[Artefact]) -> Estimate | None:
    values = [a.summary["ratio"] for a in figures if np.isfinite(a.summary["ratio"])]
    if not values:
        return None
    return Estimate(
        value=float(np.mean(values)),
        low=min(values),
        high=max(values),
        n=len(values),
        method=f"mean and range over fits, uncurated samples{_drawn(figures[0].summary)}",
    )


def _drawn(copying: Mapping[str, Any]) -> str:
    """Whether only some held-out images were measured against, in words."""
    used, given = copying["held_out"], copying["held_out_given"]
    if used == given:
        return ""
    return f", against {used:,} of {given:,} held-out images, drawn by seed"


def _controls(figures: Sequence[Artefact]) -> dict[str, float]:
    """Means over fits; a fit without a class that can be compared has no controls (NaN)."""
    found: dict[str, list[float]] = {}
    for artefact in figures:
        for name, value in artefact.summary["controls"].items():
            if np.isfinite(value):
                found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def _mean(name: str, figures: Sequence[Artefact]) -> float | None:
    values = [a.summary[name] for a in figures if np.isfinite(a.summary[name])]
    return float(np.mean(values)) if values else None
