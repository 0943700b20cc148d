"""Writing the run folder: live while the study runs, whole once it is done."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from synthlift.spec.facts import GalleryImage
from synthlift.spec.results import Results
from synthlift.spec.study import Component
from synthlift.store import Artefact, digest
from synthlift.store.files import write_bytes_atomic, write_json_atomic
from synthlift.study.assembly import assemble, scope, warnings
from synthlift.study.beside import copy_terms
from synthlift.study.clock import REPLANNED
from synthlift.study.components import resolve_component
from synthlift.study.copying import copying_figures
from synthlift.study.evidence import evaluate, pictures_of
from synthlift.study.folder import ARTEFACTS, RESULTS, TRAINING, RunFolder
from synthlift.study.generation import sheets_of
from synthlift.study.membership import membership_figures
from synthlift.study.realism import quality_figures
from synthlift.study.refit import final_model
from synthlift.study.retrieving import retrieved_table
from synthlift.study.session import Session
from synthlift.study.stages.evidence import PICTURES, TABLE
from synthlift.study.stages.generation import SAVED, SHEETS
from synthlift.study.stages.sheets import copy_sheets
from synthlift.study.tables import write_splits, write_verdicts
from synthlift.study.work import Work

if TYPE_CHECKING:
    from synthlift.reporting import Picture

LIVE = "the study is still running and the test set is locked"


def refresh(work: Work, folder: RunFolder, *, command: str, workers: int) -> None:
    """Rewrite the live report: validation figures only, unless the run is already finished."""
    if _finished_before(work, folder):
        return
    from synthlift.reporting import write_report

    write_study(work.session, folder, command)
    done, planned = len(work.replicates), work.planned
    results = assemble(
        work,
        command=command,
        folder=str(folder.path),
        workers=workers,
        evaluation=None,
        figures={},
        quality={},
        membership={},
        gallery=[],
        missing=LIVE,
        notes=[f"{done} of {planned} replicates are trained."],
    )
    write_report(results, folder.path)


def _finished_before(work: Work, folder: RunFolder) -> bool:
    found = folder.finished_results()
    return found is not None and found["study"]["key"] == work.session.key


def write_study(session: Session, folder: RunFolder, command: str) -> None:
    """Write the resolved study with the decisions taken so far."""
    decisions = {
        name: {"value": d["value"], "reason": d["reason"]}
        for name, d in session.store.decisions(session.key).items()
    }
    folder.write_study(
        session.asked_study,
        decisions=decisions,
        facts={"command": command, "store": str(session.store.root), "base": str(session.base)},
    )


def publish(work: Work, folder: RunFolder, *, command: str, workers: int) -> None:
    """Evaluate and write everything that a user keeps; a finished run is left as it is."""
    session = work.session
    tally = session.ledger.tally(test_hash=work.prepared.test_hash, study=session.key)
    exploratory = []
    if tally.earlier:
        exploratory.append(
            f"this test set was opened before, by {tally.earlier} differing "
            + ("study" if tally.earlier == 1 else "studies")
        )
    if session.noted(REPLANNED):
        exploratory.append("choices were taken again (--replan) after the test set was opened")
    missing = ""
    if work.contrast is None:
        stopped = "; ".join(f"{name}: {why}" for name, why in work.stopped.items())
        missing = f"no arm with synthetic images is left ({stopped or 'the study has none'})"

    def judge(*, added: bool = False) -> Artefact:
        return evaluate(
            work,
            exploratory=exploratory,
            scope=scope(work),
            warnings=warnings(work),
            added=added,
        )

    evaluation = judge()
    extended = judge(added=True) if work.added else None
    figures, quality = copying_figures(work), quality_figures(work)
    membership = membership_figures(work)
    pictures = pictures_of(work)
    model, what = final_model(work)
    latest = extended or evaluation
    evidence = digest([latest.key, model.key, [a.key for a in pictures.values()]])
    before = folder.finished_results()
    if before is not None and before["environment"].get("evidence") == evidence:
        return
    write_study(session, folder, command)
    gallery = _write_gallery(folder, pictures)
    results = assemble(
        work,
        command=command,
        folder=str(folder.path),
        workers=workers,
        evaluation=evaluation,
        extended=extended,
        figures=figures,
        quality=quality,
        membership=membership,
        gallery=gallery,
        missing=missing,
        notes=[f"The model in 'model/' is {what}."],
    )
    results.environment["evidence"] = evidence
    _write_all(work, folder, results, evaluation=latest, model=model)


def _write_all(
    work: Work, folder: RunFolder, results: Results, *, evaluation: Artefact, model: Artefact
) -> None:
    """Replace the files one by one, ``results.json`` last."""
    from synthlift.reporting import write_csv, write_report

    _copy(evaluation.path(TABLE), folder.file(TABLE))
    write_splits(work, folder.file("splits.csv"))
    write_verdicts(work, folder.file("verdicts.parquet"))
    retrieved = retrieved_table(work)
    if retrieved is not None:
        retrieved.to_csv(folder.file("retrieved.csv"), index=False)
    _copy_folder(model.folder, folder.file("model"), only=("model.safetensors", "model.json"))
    for role, name in _compared(work).items():
        place, kept = folder.file("models") / role, work.models[name, 0]
        _copy_folder(kept.folder, place, only=("model.safetensors", "model.json"))
        facts = {"arm": name, "replicate": 1, "key": kept.key}
        write_json_atomic(place / "arm.json", facts)
    for pool in {p.generator: p for p in reversed(list(work.pools.values()))}.values():
        place = folder.file("generators") / pool.generator
        _copy_folder(pool.fitted.folder / SAVED, place)
        copy_terms(_named(work, pool.generator), base=work.session.base, target=place)
        write_json_atomic(place / "component.json", _component(work, pool.generator, pool.fitted))
    for pool in work.pools.values():
        place = folder.file(TRAINING) / sheets_of(pool.generator, pool.unit)
        # Of a fit that was found in the store, nothing was shown while it trained.
        copy_sheets(pool.fitted.folder / SHEETS, place)
    write_json_atomic(folder.file(ARTEFACTS), _artefacts(work))
    write_csv(results, folder.file("results.csv"))
    write_report(results, folder.path)
    text = results.model_dump_json(indent=1)
    write_bytes_atomic(folder.file(RESULTS), text.encode())


def _compared(work: Work) -> Mapping[str, str]:
    """The arms of the verdict by role; without one, as where the gate stopped all, the rival."""
    if work.contrast is not None:
        return {"rival": work.contrast.rival, "generative": work.contrast.generative}
    rivals = (name for name, arm in work.final_arms.items() if arm.role == "rival")
    rival = next(rivals, None)
    return {} if rival is None else {"rival": rival}


def _artefacts(work: Work) -> Mapping[str, Any]:
    """What of the store is the run's own: the root holds other data and other models, too."""
    models: dict[str, dict[str, str]] = {}
    for (arm, replicate), model in work.models.items():
        models.setdefault(arm, {})[str(replicate)] = model.key
    return {"data": dict(work.prepared.data), "models": models}


def _named(work: Work, generator: str) -> Component:
    return next(one for one in work.session.study.generators if one.title == generator)


def _component(work: Work, generator: str, fitted: Artefact) -> Mapping[str, Any]:
    return {
        **resolve_component("generators", _named(work, generator)),
        "classes": list(work.prepared.opened.classes),
        "image_shape": list(work.prepared.image_shape),
        "fit": fitted.key,
        "seed": fitted.record["seed"],
    }


def _write_gallery(folder: RunFolder, pictures: Mapping[str, Artefact]) -> list[GalleryImage]:
    from synthlift.reporting import Picture, write_gallery

    items: list[Picture] = []
    for generator, artefact in pictures.items():
        with np.load(artefact.path(PICTURES)) as found:
            pixels = found["pixels"]
        facts: Sequence[Mapping[str, Any]] = artefact.summary["items"]
        items.extend(
            Picture(pixels=image, generator=generator, **item)
            for image, item in zip(pixels, facts, strict=True)
        )
    return write_gallery(folder.path, items)


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def _copy_folder(source: Path, target: Path, *, only: Sequence[str] = ()) -> None:
    files = [p for p in sorted(source.rglob("*")) if p.is_file()]
    for path in files:
        name = path.relative_to(source)
        if only and name.as_posix() not in only:
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        _copy(path, target / name)
