"""The model that is handed over: one of the study's own, or in design C one trained on all data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from synthlift.seeds import seed_for
from synthlift.spec.arms import Arm
from synthlift.store import Artefact, StageContext, StageRequest, Summary
from synthlift.store.images import SPLIT, DataKeys, usable_rows
from synthlift.study.aiming import aim_once
from synthlift.study.census import aimed_at, count_cells
from synthlift.study.filtering import curation_of, known_strengths
from synthlift.study.generation import fill, fit_request
from synthlift.study.layout import FitUnit, Replicate
from synthlift.study.modelling import Modelling, model_request, scorer_request
from synthlift.study.pools import Pool
from synthlift.study.retrieving import retrieve_once
from synthlift.study.steps import training_settings
from synthlift.study.streams import make_streams
from synthlift.study.work import Work

WHOLE, HELD_OUT = 0, 1
"""Draws of the split: every image is trained on; some are held out to judge generated ones."""
FIT = 10_000
"""Index of this fit, beyond those of any study."""
FEWEST_FOLDS = 3


def everything(request: StageRequest, context: StageContext) -> Summary:
    """Stage: a split with one draw that trains on every usable image, and one that holds some out.

    The second holds out about the share ``validation`` of each class's groups.
    """
    from synthlift.data.designs import Design, groups_per_class
    from synthlift.data.splits import make_split

    rows = usable_rows(context.store, request.one("inventory"))
    fewest = min(groups_per_class(rows["label"], rows["group"]).values())
    folds = max(FEWEST_FOLDS, min(round(1 / request.config["validation"]), fewest))
    design = Design("cross_validated", 1 / folds, 1e-9, folds=folds, repeats=1, draws=folds)
    table = make_split(
        design,
        ids=rows["id"],
        labels=rows["label"],
        groups=rows["group"],
        seed=seed_for(request.seed, "held_out"),
    )
    first = table.draw == 0
    ids = rows["id"].tolist()
    part = np.where(table.part[first] == "test", "validation", "train").tolist()
    written = {
        "draw": [WHOLE] * len(ids) + [HELD_OUT] * len(part),
        "id": ids + table.id[first].tolist(),
        "part": ["train"] * len(ids) + part,
    }
    pq.write_table(pa.table(written), context.out / SPLIT)
    return {"images": len(ids), "held_out": part.count("validation")}


def final_model(work: Work) -> tuple[Artefact, str]:
    """The classifier for ``classify`` and what it is, in words.

    With one training set it is replicate 1 of the arm for use. With cross-validation the arm is
    trained once more on all images; no figure of the report speaks of that model itself. Where
    the arm uses synthetic images, a generator is fitted for it, and some real images are held out
    from that fit to judge what it makes.
    """
    assert work.contrast is not None or work.final_arms
    name = work.contrast.recommended if work.contrast else next(iter(work.final_arms))
    if work.prepared.layout.design != "cross_validated":
        return work.models[name, 0], f"arm '{name}', replicate 1"
    session, arm = work.session, work.final_arms[name]
    shared = _shared(work)
    counts = shared.counts[WHOLE]
    pool = _pool(work, shared, arm) if arm.generator and arm.uses_synthetic else None
    if arm.retrieved:
        retrieve_once(session, shared, [arm], draw=WHOLE)
    whole = Replicate(index=0, draw=WHOLE, fit=FIT)
    # No image is left to calibrate on: the folds' models of this arm say how sure to be.
    temperatures = [work.models[name, r.index].summary["temperature"] for r in work.replicates]
    temperature = round(float(np.exp(np.mean(np.log(temperatures)))), 6)
    (model,) = session.ask(
        [model_request(session, shared, arm, whole, pool, temperature=temperature)]
    )
    further = model.summary["synthetic_images"]
    beside = f" and {further} synthetic ones" if pool else ""
    beside = f" and {further} retrieved ones" if arm.retrieved else beside
    return model, f"arm '{name}', trained again on all {sum(counts.values())} images{beside}"


def _strengths(work: Work, generator: str) -> dict[str, str]:
    """Of each filter with a chosen strength, what most folds chose; the first of equals."""
    chosen = [known_strengths(one, generator) for one in work.filter_strengths.values()]
    return {
        name: Counter(one[name] for one in chosen).most_common(1)[0][0]
        for name in (chosen[0] if chosen else ())
    }


def _shared(work: Work) -> Modelling:
    session, prepared = work.session, work.prepared
    (split,) = session.ask(
        [
            StageRequest(
                stage="split",
                function="synthlift.study.refit:everything",
                config={"validation": session.study.data.split.validation},
                inputs={"inventory": prepared.data["inventory"]},
                seed=seed_for(session.study.seed, "refit"),
                label="taking all images together",
            )
        ]
    )
    rows = usable_rows(session.store, prepared.data["inventory"])
    classes = prepared.opened.classes
    counts = {k: int((rows["label"] == label).sum()) for k, label in enumerate(classes)}
    settings = _settings(work, counts)
    data: DataKeys = {**prepared.data, "split": split.key}
    return replace(
        work.shared,
        data=data,
        training={WHOLE: settings, HELD_OUT: settings},
        counts={WHOLE: counts, HELD_OUT: counts},
        cells=count_cells(
            session.store,
            data,
            draws=(WHOLE, HELD_OUT),
            classes=classes,
            attributes=aimed_at(work.arms),
        ),
        aims={},
        retrieved={},
    )


def _settings(work: Work, counts: Mapping[int, int]) -> dict[str, Any]:
    flip = bool(next(iter(work.shared.training.values()))["flip"])
    return training_settings(
        work.session.study,
        counts=counts,
        image_size=work.prepared.image_size,
        flip=flip,
        steps=work.training_steps,
    ).model_dump(mode="json")


def _pool(work: Work, shared: Modelling, arm: Arm) -> Pool:
    """Curated images of a generator that was fitted on nearly all images."""
    session, unit = work.session, FitUnit(FIT, HELD_OUT, on_all_images=True)
    component = next(g for g in session.study.generators if g.title == arm.generator)
    wanted = fit_request(session, component, unit, shared.data)
    scorer = scorer_request(session, shared, unit)
    fitted, _ = session.ask([wanted, scorer])
    # By the errors on the images that the generator is fitted on, so that its sources are these.
    aim_once(session, shared, [arm], draw=HELD_OUT)
    shared.aims.update({(WHOLE, by, names): a for (_, by, names), a in [*shared.aims.items()]})
    need = shared.wanted(arm, WHOLE)
    pool = Pool(
        generator=component.title,
        unit=unit,
        fitted=fitted,
        data=shared.data,
        scorer=scorer.key,
        streams=make_streams(work.generation.classes, need),
        wanted=need,
        curation=curation_of(session.study.curation, _strengths(work, component.title)),
        hard_cases=shared.hard_cases(HELD_OUT),
    )
    fill(session, [pool], replace(work.generation, reserved=0))
    return pool
