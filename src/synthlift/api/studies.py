"""Running and planning studies."""

from __future__ import annotations

import multiprocessing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.api.keeping import recording
from synthlift.api.run_folder import Run
from synthlift.api.sources import Asked, Source, ask, demo_study
from synthlift.errors import InputError

if TYPE_CHECKING:
    from synthlift.study.driver import Options
    from synthlift.study.executors.local import Listener


def run(
    source: Source,
    *,
    out: Path | str | None = None,
    store: Path | str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    budget: str | None = None,
    more: str | float | None = None,
    device: str = "auto",
    workers: int | None = None,
    replan: bool = False,
    command: str = "",
    listener: Listener | None = None,
) -> Run:
    """Run a study, or go on with one; what is finished is never computed again.

    Args:
        source: see :func:`synthlift.api.ask`.
        out, store, overrides, seed, budget: see :func:`synthlift.api.ask`.
        more: further time (seconds or ``2h``) for more replicates of a finished run.
        device: auto, cpu, cuda:N or mps.
        workers: processes on the CPU; by default one a core.
        replan: forget recorded choices and choose again.
        command: the command line, for the report.
        listener: what to call while it runs.

    Raises:
        InputError: the source, the data or a setting is wrong.
        StageError, DiskFullError: a stage failed; run again to go on.
        Interrupted: Ctrl-C or ``synthlift stop``; run again to go on.
    """
    from synthlift.study.driver import conduct
    from synthlift.study.executors.local import Listener

    _refuse_workers()
    asked = ask(source, out=out, store=store, overrides=overrides, seed=seed, budget=budget)
    folder = conduct(
        asked.study,
        base=asked.base,
        options=_options(
            asked, more=more, device=device, workers=workers, replan=replan, command=command
        ),
        listener=recording(listener or Listener(), asked.out),
        preset=None if replan else asked.preset,
        preset_key=asked.preset_key,
    )
    return Run(Path(folder).absolute())


def plan(
    source: Source,
    *,
    out: Path | str | None = None,
    store: Path | str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    budget: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Say what a run would do and take at most, without training anything.

    Returns:
        classes (usable images of each), design, image_size, channels, arms, arm_labels (as people
        read them), replicates, generator_fits, steps, seconds (upper bound), energy_kwh (upper
        bound; None = not known), energy_method, disk_bytes (upper bound), disk_bytes_about (None =
        only a preview tells),
        minimal_detectable_effect, warnings and decisions with their reasons.
    """
    from synthlift.study.driver import forecast
    from synthlift.study.executors.local import Listener

    _refuse_workers()
    asked = ask(source, out=out, store=store, overrides=overrides, seed=seed, budget=budget)
    found: Mapping[str, Any] = forecast(
        asked.study,
        base=asked.base,
        options=_options(asked, device=device, workers=workers),
        listener=listener or Listener(),
    )
    return dict(found)


def demo(*, out: Path | str | None = None, **options: Any) -> Run:
    """The whole path on scikit-learn's digits; ``options`` as for :func:`run`."""
    return run(demo_study(), out=out, **options)


def _options(
    asked: Asked,
    *,
    device: str,
    workers: int | None,
    more: str | float | None = None,
    replan: bool = False,
    command: str = "",
) -> Options:
    from synthlift.study.budget import parse_budget
    from synthlift.study.driver import Options

    return Options(
        out=asked.out,
        workers=workers,
        device=device,
        replan=replan,
        more=parse_budget(more) if isinstance(more, str) else more,
        store=asked.store,
        command=command,
    )


def _refuse_workers() -> None:
    # A script without the guard is imported again by each worker process, and would run again.
    if multiprocessing.parent_process() is not None:
        raise InputError(
            "a study was started inside a worker process",
            rule="worker processes import the script that started them",
            remedy="put the call below `if __name__ == '__main__':`",
        )
