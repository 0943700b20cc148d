"""Fits that end as by ``kill -9``, in a process that is forked as workers are."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from synthlift.registry import available
from synthlift.study.executors.starting import (
    one_thread_environment,
    settle,
    start_worker,
    worker_context,
)
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import RunContext

Progress = Callable[[int, int, str], None]


def kill_once_told(fit: Callable[[Progress], object], when: Callable[[int, str], bool]) -> None:
    """Fit in a process of its own, and kill it when the progress that it tells satisfies ``when``.

    Args:
        fit: can be pickled; takes what hears of the progress.
        when: of what is done, and of what.
    """
    context: Any = worker_context()
    hears, tells = context.Pipe(duplex=False)
    began = context.Event()  # held: the child finds it by a name that goes with it
    with one_thread_environment():
        child = context.Process(target=_fit, args=(fit, tells, dict(os.environ), began))
        child.start()
    tells.close()
    while not when(*hears.recv()):
        pass
    child.kill()
    child.join()
    hears.close()


def fit_drawn(progress: Progress, *, kind: str, folder: Path, settings: Mapping[str, Any]) -> None:
    """Fit a generator on drawn images."""
    descriptor = available("generators")[kind]
    generator = descriptor.build(descriptor.config.model_validate(settings))
    generator.fit(drawn_inputs(), run=RunContext(folder=folder, seed=3, progress=progress))


def _fit(
    fit: Callable[[Progress], object], tells: Any, environment: Mapping[str, str], began: Any
) -> None:
    start_worker(environment, began)
    settle()
    fit(lambda done, _total, note: tells.send((done, note)))
