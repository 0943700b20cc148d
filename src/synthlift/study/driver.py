"""The deterministic driver: from a study file to a run folder.

What is asked of the store next may depend on train and validation results, never on test. Every
choice is a recorded decision, so that running again resumes and recomputes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthlift.registry import load_plugin
from synthlift.spec.study import Study
from synthlift.store import Store
from synthlift.study.choices import choose_selection, is_unbalanced
from synthlift.study.clock import Clock
from synthlift.study.components import resolve_component
from synthlift.study.devices import choose_device
from synthlift.study.evidence import predict_all
from synthlift.study.executors.local import Listener, LocalExecutor, default_workers
from synthlift.study.folder import RunFolder
from synthlift.study.generation import GenerationPlan
from synthlift.study.ledger import Ledger
from synthlift.study.modelling import Modelling
from synthlift.study.output import publish, refresh
from synthlift.study.planning import Plan, make_plan
from synthlift.study.preparation import Opened, Prepared, decide_design, open_data, prepare
from synthlift.study.rounds import declare_contrast, train_round, used_generators
from synthlift.study.session import Session
from synthlift.study.steps import training_settings
from synthlift.study.work import Work

CHUNK = 32
RESERVED = 16


@dataclass(frozen=True)
class Options:
    """How a study is run; nothing here changes a result.

    Attributes:
        out: run folder; default ``runs/<study>``.
        workers: processes; default one per core.
        device: auto, cpu, cuda:N or mps.
        replan: discard the recorded decisions.
        more: seconds for further replicates after the planned ones.
        store: default ``$SYNTHLIFT_STORE`` or the user's cache folder.
        command: the exact command line, for the report.
    """

    out: Path | None = None
    workers: int | None = None
    device: str = "auto"
    replan: bool = False
    more: float | None = None
    store: Path | None = None
    command: str = ""


def conduct(
    study: Study,
    *,
    base: Path,
    options: Options,
    listener: Listener,
    preset: Mapping[str, Any] | None = None,
) -> Path:
    """Run or resume a study.

    Args:
        study: the study file.
        base: folder that relative paths in it start from.
        options: see :class:`Options`.
        listener: hears events and progress.
        preset: decisions of an earlier run, by name, each ``{"value", "reason"}``.

    Returns:
        The run folder.

    Raises:
        InputError: the study, the data or the folder is unfit.
        Interrupted: Ctrl-C or a stop; running again resumes.
        SynthliftError: a stage failed; what was finished is kept.
    """
    store = Store(options.store)
    workers = default_workers(options.workers)
    device = choose_device(options.device)
    for path in study.plugins:
        load_plugin((base / path).resolve())
    pipe = _Pipe(listener)
    hearing = Listener(pipe.event, listener.on_progress, pipe.should_stop)
    with LocalExecutor(store, workers=workers, listener=hearing) as executor:
        session = Session(
            study=study,
            store=store,
            executor=executor,
            ledger=Ledger(),
            base=base,
            device=device,
            preset=dict(preset or {}),
            log=pipe.log,
        )
        opened = open_data(session)
        folder = RunFolder(options.out or Path("runs") / study.name, key=session.key)
        pipe.attach(folder)
        if options.replan:
            store.forget_decisions(session.key)
        folder.status("running", command=options.command)
        pipe.log("started", device=device, workers=workers, store=str(store.root))
        try:
            _conduct(session, opened, folder, options=options, workers=workers)
        except BaseException as error:
            folder.status("stopped", error=f"{type(error).__name__}: {error}")
            pipe.log("stopped", error=str(error))
            raise
        folder.status("done")
        pipe.log("done")
    return folder.path


def _conduct(
    session: Session, opened: Opened, folder: RunFolder, *, options: Options, workers: int
) -> None:
    clock = Clock(session.study.budget)
    plan = make_plan(session, opened, workers=workers)
    work = _lay_out(session, opened, plan)
    _register(session, folder, "running")
    refresh(work, folder, command=options.command, workers=workers)
    for number, replicates in enumerate(work.prepared.layout.rounds()):
        if not clock.allows(session, number):
            work.dropped += len(replicates)
            continue
        with clock.round():
            train_round(work, replicates)
        _register(session, folder, "running")
        refresh(work, folder, command=options.command, workers=workers)
    work.contrast = declare_contrast(work)
    predict_all(work)
    publish(work, folder, command=options.command, workers=workers)
    _register(session, folder, "done")


def _lay_out(session: Session, opened: Opened, plan: Plan) -> Work:
    """Split the data and fix everything that all models share."""
    session.study = session.study.model_copy(update={"generators": plan.generators})
    prepared = prepare(
        session,
        opened,
        design=decide_design(session, opened),
        image_size=plan.image_size,
        channels=plan.channels,
        layout=plan.layout,
    )
    first = next(iter(prepared.counts.values()))
    selection = session.decide(
        "selection",
        lambda: choose_selection(session.study, prepared.layout.design, prepared.validation_groups),
    )
    work = Work(
        session=session,
        prepared=prepared,
        shared=_share(session, prepared, plan),
        generation=GenerationPlan(
            classes=len(opened.classes),
            image_shape=prepared.image_shape,
            chunk=CHUNK,
            reserved=RESERVED,
        ),
        arms=plan.arms,
        unbalanced=is_unbalanced(first),
        selection=selection,
        training_steps=plan.training_steps,
        generator_share=plan.generator_share,
    )
    if not used_generators(work):
        work.generation = GenerationPlan(len(opened.classes), prepared.image_shape, CHUNK, 0)
    return work


def _share(session: Session, prepared: Prepared, plan: Plan) -> Modelling:
    from synthlift.study.flips import flips

    settings = {
        draw: training_settings(
            session.study,
            counts=prepared.counts[draw],
            image_size=prepared.image_size,
            flip=keeps,
            steps=plan.training_steps,
        ).model_dump(mode="json")
        for draw, keeps in flips(session, prepared).items()
    }
    return Modelling(
        data=prepared.data,
        classifier=resolve_component("classifiers", session.study.classifier),
        training=settings,
        counts=prepared.counts,
    )


def _register(session: Session, folder: RunFolder, state: str) -> None:
    session.store.register_root(
        f"{session.study.name}-{session.key[:12]}",
        list(session.asked),
        folder=str(folder.path),
        state=state,
        study=session.study.name,
        key=session.key,
        at=time.time(),
    )


class _Pipe:
    """Carries events to the listener at once, and to the run's log as soon as there is one."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._waiting = listener, list[tuple[str, dict[str, Any]]]()
        self._folder: RunFolder | None = None

    def attach(self, folder: RunFolder) -> None:
        self._folder = folder
        for name, fields in self._waiting:
            folder.log(name, **fields)
        self._waiting.clear()

    def event(self, name: str, fields: dict[str, Any]) -> None:
        self._listener.on_event(name, fields)
        if self._folder is None:
            self._waiting.append((name, fields))
        else:
            self._folder.log(name, **fields)

    def log(self, name: str, **fields: Any) -> None:
        self.event(name, fields)

    def should_stop(self) -> bool:
        asked = self._folder is not None and self._folder.stop_requested()
        return asked or self._listener.should_stop()
