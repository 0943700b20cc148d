"""The deterministic driver: from a study file to a run folder.

What is asked of the store next may depend on train and validation results, never on test. Every
choice is a recorded decision, so that running again resumes and recomputes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthlift.errors import InputError
from synthlift.registry import load_plugin
from synthlift.spec.study import Study
from synthlift.store import Store
from synthlift.study.beside import open_beside
from synthlift.study.budget import parse_budget
from synthlift.study.census import aimed_at, count_cells
from synthlift.study.choices import choose_selection, is_unbalanced
from synthlift.study.clock import Clock, has_added, note_added, note_replanned
from synthlift.study.components import makes_from_sources, resolve_component
from synthlift.study.contrast import declare_contrast
from synthlift.study.crossing import cross_select
from synthlift.study.devices import choose_device
from synthlift.study.evidence import predict_all
from synthlift.study.executors.local import Listener, LocalExecutor, default_workers
from synthlift.study.expecting import CHUNK
from synthlift.study.external import open_external
from synthlift.study.flips import settings_of_draws
from synthlift.study.folder import REPORT, STUDY, TRAINING, RunFolder, run_facts
from synthlift.study.forecast import forecast_study
from synthlift.study.generation import GenerationPlan
from synthlift.study.layout import Replicate
from synthlift.study.ledger import Ledger
from synthlift.study.modelling import Modelling
from synthlift.study.output import publish, refresh, write_study
from synthlift.study.planning import Plan, make_plan
from synthlift.study.preparation import (
    Opened,
    Prepared,
    decide_design,
    open_data,
    prepare,
    undeclared_groups,
)
from synthlift.study.retrieving import require_images
from synthlift.study.rounds import add_round, train_round, used_generators
from synthlift.study.session import Session
from synthlift.study.sharing import sharing
from synthlift.study.sparing import Spared
from synthlift.study.warning import foretold, kind_of
from synthlift.study.work import Work


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
    preset_key: str = "",
) -> Path:
    """Run or resume a study.

    Args:
        study: the study file.
        base: folder that relative paths in it start from.
        options: see :class:`Options`.
        listener: hears events and progress.
        preset: decisions of an earlier run, by name, each ``{"value", "reason"}``.
        preset_key: of the study that they were taken for; those of another one are not used. "" =
            of any.

    Returns:
        The run folder.

    Raises:
        InputError: the study, the data or the folder is unfit.
        Interrupted: Ctrl-C or a stop; running again resumes.
        SynthliftError: a stage failed; what was finished is kept.
    """
    pipe, workers = _Pipe(listener), default_workers(options.workers)
    clock = Clock(parse_budget(study.budget) if study.budget else None, workers=workers)
    with (
        Spared(Store(options.store)) as spared,
        _session(study, base=base, options=options, pipe=pipe, spared=spared) as session,
    ):
        session.preset.update(preset or {})
        session.preset_key = preset_key
        opened = open_data(session)
        spared.of_study(session.key)
        folder = RunFolder(options.out or Path("runs") / study.name, key=session.key)
        fresh = not folder.file(STUDY).exists()
        if fresh:
            # First of all files: the folder must be known as this study's from the first moment.
            write_study(session, folder, options.command)
        spared.attach(folder, study=study.name)
        pipe.attach(folder)
        for text in undeclared_groups(session, opened):
            pipe.log("warning", text=text)
        session.sheets = folder.file(TRAINING).absolute()
        if options.replan:
            session.store.forget_decisions(session.key)
            note_replanned(session)
        elif not fresh and not session.store.decisions(session.key):
            # The store was cleared: what was chosen, and added, stands in the run folder, too.
            session.preset = {**run_facts(folder.path)["decisions"], **session.preset}
        folder.status("running", command=options.command)
        pipe.log("started", device=session.device, workers=workers, store=str(session.store.root))
        try:
            _conduct(
                session, opened, folder, pipe=pipe, options=options, workers=workers, clock=clock
            )
        except BaseException as error:
            if fresh and isinstance(error, InputError) and not folder.file(REPORT).exists():
                folder.discard()
                spared.detach()
                raise
            folder.status("stopped", error=f"{type(error).__name__}: {error}")
            pipe.log("stopped", error=str(error))
            raise
        spared.done()
        folder.status("done")
        pipe.log("done")
    return folder.path


def forecast(study: Study, *, base: Path, options: Options, listener: Listener) -> dict[str, Any]:
    """Plan a study without running it; see :func:`forecast_study` for what comes back."""
    pipe = _Pipe(listener)
    with (
        Spared(Store(options.store)) as spared,
        _session(study, base=base, options=options, pipe=pipe, spared=spared) as session,
    ):
        try:
            return forecast_study(session, workers=session.executor.workers)
        finally:
            spared.of_study(session.key)


@contextlib.contextmanager
def _session(
    study: Study,
    *,
    base: Path,
    options: Options,
    pipe: _Pipe,
    spared: Spared,
) -> Iterator[Session]:
    store = Store(options.store)
    store.tidy()
    for path in study.plugins:
        load_plugin((base / path).resolve())
    hearing = Listener(pipe.event, pipe.progress, pipe.should_stop)
    workers = default_workers(options.workers)
    with LocalExecutor(store, workers=workers, listener=hearing) as executor:
        yield Session(
            study=study,
            store=store,
            executor=executor,
            ledger=Ledger(),
            base=base,
            device=choose_device(options.device),
            log=pipe.log,
            spare=spared.add,
        )


def _conduct(
    session: Session,
    opened: Opened,
    folder: RunFolder,
    *,
    pipe: _Pipe,
    options: Options,
    workers: int,
    clock: Clock,
) -> None:
    plan = make_plan(session, opened, workers=workers)
    pipe.foretell(foretold(session, opened, plan))
    work = _lay_out(session, opened, plan)
    _note(work, folder, options, workers)
    waiting = list(enumerate(work.prepared.layout.rounds()))
    planned = -(-work.planned // work.prepared.layout.round_size)
    while waiting and waiting[0][0] < planned and clock.allows(work, *waiting[0]):
        replicates = waiting.pop(0)[1]
        cross_select(work, replicates)
        train_round(work, replicates)
        _note(work, folder, options, workers)
    work.dropped = max(0, work.planned - len(work.replicates))
    work.contrast = declare_contrast(work)
    work.opened = True
    predict_all(work)
    # Rounds that an earlier run added belong to what is published: a finished run stays as it is.
    while waiting and has_added(session, waiting[0][0]):
        _add(work, waiting.pop(0)[1])
    publish(work, folder, command=options.command, workers=workers)
    extra = Clock(options.more, workers=workers)
    while waiting and extra.adds(work, waiting[0][1]):
        number, replicates = waiting.pop(0)
        _add(work, replicates)
        note_added(session, number)
        publish(work, folder, command=options.command, workers=workers)


def _add(work: Work, replicates: Sequence[Replicate]) -> None:
    cross_select(work, replicates)
    add_round(work, replicates)


def _note(work: Work, folder: RunFolder, options: Options, workers: int) -> None:
    refresh(work, folder, command=options.command, workers=workers)


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
    session.common = prepared.common()
    open_beside(session, prepared)
    require_images(session, prepared, plan.arms)
    first = next(iter(prepared.counts.values()))
    selection = session.decide(
        "selection",
        lambda: choose_selection(
            session.study,
            validation_groups=prepared.validation_groups,
            train_groups=prepared.train_groups,
            affordable=plan.chooses_inside,
        ),
    )
    crossed = prepared.layout.design == "cross_validated"
    work = Work(
        session=session,
        prepared=prepared,
        shared=_share(session, prepared, plan),
        generation=GenerationPlan(
            classes=len(opened.classes),
            image_shape=prepared.image_shape,
            chunk=CHUNK,
            reserved=CHUNK,
        ),
        arms=plan.arms,
        unbalanced=is_unbalanced(first),
        selection=selection,
        splits={d: d for d in prepared.counts} if crossed and selection != "predeclared" else None,
        planned=plan.replicates,
        training_steps=plan.training_steps,
        generator_share=plan.generator_share,
        training_share=plan.training_share,
        external=open_external(session, prepared),
    )
    if not used_generators(work):
        work.generation = GenerationPlan(len(opened.classes), prepared.image_shape, CHUNK, 0)
    return work


def _share(session: Session, prepared: Prepared, plan: Plan) -> Modelling:
    planned = {replicate.draw for replicate in plan.layout.replicates[: plan.replicates]}
    return Modelling(
        data=prepared.data,
        classifier=resolve_component("classifiers", session.study.classifier),
        training=settings_of_draws(session, prepared, planned, steps=plan.training_steps),
        counts=prepared.counts,
        cells=count_cells(
            session.store,
            prepared.data,
            draws=prepared.counts,
            classes=prepared.opened.classes,
            attributes=aimed_at(plan.arms),
        ),
        one_pool=sharing(session.study.generators),
        from_sources=frozenset(
            component.title
            for component in session.study.generators
            if makes_from_sources(component)
        ),
    )


class _Pipe:
    """Carries events to the listener at once, and to the run's log as soon as there is one."""

    def __init__(self, listener: Listener) -> None:
        self._listener, self._waiting = listener, list[tuple[str, dict[str, Any]]]()
        self._folder: RunFolder | None = None
        self._warned, self._foretold = set[str](), set[str]()

    def attach(self, folder: RunFolder) -> None:
        self._folder = folder
        for name, fields in self._waiting:
            folder.log(name, **fields)
        self._waiting.clear()

    def event(self, name: str, fields: dict[str, Any]) -> None:
        if name == "warning":
            text = fields["text"]
            # Many fits warn of the same, or of the same with prompts of their own.
            if text in self._warned or kind_of(text) in self._foretold:
                return
            self._warned.add(text)
        self._listener.on_event(name, fields)
        if self._folder is None:
            self._waiting.append((name, fields))
        else:
            self._folder.log(name, **fields)

    def log(self, name: str, /, **fields: Any) -> None:
        self.event(name, fields)

    def foretell(self, texts: Sequence[str]) -> None:
        """Warn of what holds for all fits; of the same kinds none of them will be heard."""
        for text in texts:
            self.log("warning", text=text)
        self._foretold |= {kind for text in texts if (kind := kind_of(text))}

    def progress(self, done: int, total: int, label: str) -> None:
        self._listener.on_progress(done, total, label)

    def should_stop(self) -> bool:
        asked = self._folder is not None and self._folder.stop_requested()
        return asked or self._listener.should_stop()
