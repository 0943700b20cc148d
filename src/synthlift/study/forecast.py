"""What `synthlift plan` prints: choices, expected time and disk, and what could be detected."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

from synthlift.spec.arms import arm_labels
from synthlift.store.images import usable_rows
from synthlift.study.energy import JOULES_PER_KWH, WATTS_PER_CORE
from synthlift.study.expecting import Option, expected_seconds
from synthlift.study.gpu_energy import most_watts
from synthlift.study.packed_sizes import known_sizes
from synthlift.study.planning import Plan, describe_task, make_plan
from synthlift.study.preparation import Opened, decide_design, open_data, undeclared_groups
from synthlift.study.session import Session
from synthlift.study.sharing import pools_in
from synthlift.study.speeds import measure
from synthlift.study.storing import disk_use
from synthlift.study.warning import foretold

WARN_ABOVE = 3
UPPER = 1.25
"""Shown times are upper bounds: expected ones with a quarter on top."""
TIMED = "budget"
"""The decision that goes by speed, with these workers on this device: a plan leaves it to a run."""


def forecast_study(session: Session, *, workers: int) -> dict[str, Any]:
    """Read the data, take the planning decisions, measure speed, and add it all up.

    Returns:
        JSON: classes (usable images of each), design, image_size, channels, arms, arm_labels (as
        people read them), replicates, generator_fits, steps, seconds (upper bound), energy_kwh
        (upper bound; None on a GPU that does not tell what it may draw), energy_method, disk_bytes
        (upper bound), disk_bytes_about (to expect; None where only a preview could tell),
        minimal_detectable_effect (None = a class is not tested), warnings and decisions.
    """
    session.open_decisions.add(TIMED)
    opened = open_data(session)
    plan = make_plan(session, opened, workers=workers)
    design = decide_design(session, opened)
    # With multiples as a budget cut them, and the generators as they were before it cut theirs.
    task = replace(describe_task(session, opened, design, workers), arms=plan.arms)
    speeds = measure(session, opened, design, plan.image_size, plan.channels)
    option = Option(
        image_size=plan.image_size,
        arms=tuple(arm.name for arm in plan.arms),
        replicates=plan.replicates,
        fits=session.study.generator_fits,
        generator_share=plan.generator_share,
        training_share=plan.training_share,
        chooses_inside=plan.chooses_inside and task.inside != "no",
    )
    effect = detectable(opened, session, plan)
    seconds = expected_seconds(task, option, speeds) * UPPER
    packed = known_sizes(session, opened, plan)
    disk = disk_use(session, plan, opened, task=task, option=option, speeds=speeds, packed=packed)
    labels = usable_rows(session.store, opened.inventory.key)["label"].tolist()
    named = arm_labels({arm.name: arm.generator or "" for arm in plan.arms})
    return {
        "classes": dict(sorted(Counter(labels).items())),
        "design": design.kind,
        "image_size": plan.image_size,
        "channels": plan.channels,
        "arms": list(option.arms),
        "arm_labels": [named[name] for name in option.arms],
        "replicates": plan.replicates,
        "generator_fits": max(_pools(plan).values(), default=0),
        "steps": {
            "classifier": plan.training_steps or speeds.training_steps,
            **{
                f"generator {name}": round(speed.steps * plan.generator_share)
                for name, speed in speeds.generators.items()
                if speed.steps
            },
        },
        "seconds": seconds,
        **_energy(seconds, workers=workers, device=session.device),
        "disk_bytes": disk.at_most,
        "disk_bytes_about": disk.about,
        "minimal_detectable_effect": effect if math.isfinite(effect) else None,
        "warnings": [
            *undeclared_groups(session, opened),
            *_warnings(effect, session.study.primary.margin, plan),
            *foretold(session, opened, plan),
        ],
        "decisions": {
            name: {"value": d["value"], "reason": d["reason"]}
            for name, d in session.decisions().items()
        },
    }


def _energy(seconds: float, *, workers: int, device: str) -> dict[str, Any]:
    """As costs are found, so that plan and report compare: for each worker a busy core."""
    cores, method = workers * WATTS_PER_CORE, "estimated for the processor alone"
    if device == "cpu":
        return {"energy_kwh": seconds * cores / JOULES_PER_KWH, "energy_method": method}
    most = most_watts(device)
    if most is None:
        method = "not known on a GPU that does not tell what it may draw"
        return {"energy_kwh": None, "energy_method": method}
    method = f"of a GPU that may draw {most:g} W, and {WATTS_PER_CORE:g} W for each worker"
    return {"energy_kwh": seconds * (most + cores) / JOULES_PER_KWH, "energy_method": method}


def _planned(plan: Plan) -> tuple[Any, ...]:
    return plan.layout.replicates[: plan.replicates]


def detectable(opened: Opened, session: Session, plan: Plan) -> float:
    """The minimal detectable effect to expect, assuming 10 % discordant pairs."""
    from synthlift.data.designs import groups_per_class, test_groups_per_class
    from synthlift.data.inspection import minimal_detectable_effect

    design = decide_design(session, opened)
    rows = usable_rows(session.store, opened.inventory.key)
    groups = test_groups_per_class(design, groups_per_class(rows["label"], rows["group"]))
    crossed = design.kind == "cross_validated"
    return minimal_detectable_effect(
        list(groups.values()),
        models=plan.replicates if crossed else 1,
        cross_validated=crossed,
        ratio=1 / (design.folds - 1) if crossed else 0.0,
    )


def _pools(plan: Plan) -> dict[str, int]:
    """Pools that are sampled of each generator, by name."""
    used = {arm.generator for arm in plan.arms if arm.generator}
    planned = _planned(plan)
    return {one.title: pools_in(one, planned) for one in plan.generators if one.title in used}


def _warnings(effect: float, margin: float, plan: Plan) -> list[str]:
    found = []
    crossed = plan.layout.design == "cross_validated"
    remedy = "" if crossed else "use cross-validation (data.split.design), "
    if not math.isfinite(effect):
        found.append("no difference can be found: a class has no test image")
    elif effect > WARN_ABOVE * margin:
        found.append(
            f"effects below about {100 * effect:.1f} points will hardly be found, and the margin "
            f"is {100 * margin:g}: {remedy}collect more test images, or ask a coarser question "
            "(a larger primary.margin)"
        )
    if plan.replicates < 10:
        found.append(f"{plan.replicates} replicates give an exploratory answer, no verdict")
    return found
