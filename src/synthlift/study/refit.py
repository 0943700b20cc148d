"""The model that is handed over: one of the study's own, or in design C one trained on all data."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from synthlift.store import Artefact, StageContext, StageRequest, Summary
from synthlift.store.images import SPLIT, usable_rows
from synthlift.study.layout import Replicate
from synthlift.study.modelling import Modelling, model_request
from synthlift.study.steps import training_settings
from synthlift.study.work import Work


def everything(request: StageRequest, context: StageContext) -> Summary:
    """Stage: a split whose one draw trains on every usable image."""
    rows = usable_rows(context.store, request.one("inventory"))
    count = len(rows["id"])
    table = pa.table({"draw": [0] * count, "id": rows["id"].tolist(), "part": ["train"] * count})
    pq.write_table(table, context.out / SPLIT)
    return {"images": count}


def final_model(work: Work) -> tuple[Artefact, str]:
    """The classifier for ``classify`` and what it is, in words.

    With one training set it is replicate 1 of the arm for use. With cross-validation the arm is
    trained once more on all images; no figure of the report speaks of that model itself.
    """
    assert work.contrast is not None or work.final_arms
    name = work.contrast.recommended if work.contrast else next(iter(work.final_arms))
    if work.prepared.layout.design != "cross_validated":
        return work.models[name, 0], f"arm '{name}', replicate 1"
    session, prepared = work.session, work.prepared
    (split,) = session.ask(
        [
            StageRequest(
                stage="split",
                function="synthlift.study.refit:everything",
                inputs={"inventory": prepared.data["inventory"]},
                label="taking all images together",
            )
        ]
    )
    rows = usable_rows(session.store, prepared.data["inventory"])
    classes = prepared.opened.classes
    counts = {k: int((rows["label"] == label).sum()) for k, label in enumerate(classes)}
    flip = bool(next(iter(work.shared.training.values()))["flip"])
    settings = training_settings(
        session.study,
        counts=counts,
        image_size=prepared.image_size,
        flip=flip,
        steps=work.training_steps,
    )
    shared = Modelling(
        data={**prepared.data, "split": split.key},
        classifier=work.shared.classifier,
        training={0: settings.model_dump(mode="json")},
        counts={0: counts},
    )
    whole = Replicate(index=0, draw=0, fit=0)
    (model,) = session.ask([model_request(session, shared, work.final_arms[name], whole, None)])
    return model, f"arm '{name}', trained again on all {sum(counts.values())} images"
