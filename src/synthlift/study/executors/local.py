"""A process pool that computes stage requests in dependency order.

Every worker computes with one thread, so results do not depend on how many workers there are.
The store's leases keep two runs from computing the same key; a busy key is asked for again later.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import synchronize
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import TracebackType
from typing import Any

from synthlift.errors import Interrupted, StageError, SynthliftError
from synthlift.store import Store
from synthlift.store.requests import StageRequest
from synthlift.study.executors.starting import (
    read_anew,
    require_main_process,
    settle,
    start_worker,
    starting_workers,
    worker_context,
)
from synthlift.study.gpu_energy import energy_counter

BUSY_SECONDS = 0.2
HOLDS = "holds_bytes"
"""Under ``local`` of a request: what its process holds of the device's memory from then on."""


@dataclass(frozen=True)
class Event:
    """One line for the log: what happened, with fields."""

    name: str
    fields: dict[str, Any]


@dataclass
class Outcome:
    """What a worker sends back."""

    key: str
    status: str
    events: list[Event] = field(default_factory=list)
    seconds: float = 0.0


@dataclass(frozen=True)
class Listener:
    """What the caller wants to hear.

    Attributes:
        on_event: a log event by name and fields.
        on_progress: (done, total, label of the request that just ended).
        should_stop: polled a few times a second; True ends the run as an interruption.
    """

    on_event: Callable[[str, dict[str, Any]], None] = lambda _name, _fields: None
    on_progress: Callable[[int, int, str], None] = lambda _done, _total, _label: None
    should_stop: Callable[[], bool] = lambda: False


class LocalExecutor:
    """Runs requests on ``workers`` processes of this machine; use as a context manager.

    Requests that hold much of the device's memory have processes of their own, since a process
    keeps the models that it has opened.

    Args:
        store: where results are committed.
        workers: requests that are computed at a time, ≥ 1.
        listener: see :class:`Listener`.
    """

    def __init__(self, store: Store, *, workers: int, listener: Listener | None = None) -> None:
        assert workers >= 1
        self.store, self.workers = store, workers
        self.holding = workers
        """Processes for requests that hold much of the device's memory."""
        self.listener = listener or Listener()
        self._pools: dict[bool, ProcessPoolExecutor] = {}
        self._context: BaseContext | None = None
        self._began: synchronize.Event | None = None
        """Set by the first worker that comes to its own work."""
        self._processes: dict[int, BaseProcess] = {}
        """Those that were started until then."""

    def __enter__(self) -> LocalExecutor:
        require_main_process()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._shut_down(kill=error is not None)

    def run(self, requests: Iterable[StageRequest]) -> None:
        """Compute all requests that are not in the store; inputs first, else in the given order.

        Raises:
            StageError: a stage failed; what was committed stays.
            SynthliftError: raised by a stage on purpose (``InputError`` and so on), unchanged.
            Interrupted: Ctrl-C, or ``listener.should_stop``.
        """
        waiting = _missing(self.store, requests)
        total = len(waiting)
        if not total:
            return
        try:
            self._run(waiting, total)
        except KeyboardInterrupt:
            self._shut_down(kill=True)
            raise Interrupted("interrupted") from None
        except BaseException:
            self._shut_down(kill=True)
            raise

    def _run(self, waiting: dict[str, StageRequest], total: int) -> None:
        running: dict[Future[Outcome], StageRequest] = {}
        retry_at: dict[str, float] = {}
        while waiting or running:
            if self.listener.should_stop():
                raise Interrupted("stopped on request")
            self._submit_ready(waiting, running, retry_at)
            finished = wait(running, timeout=BUSY_SECONDS, return_when=FIRST_COMPLETED).done
            for future in finished:
                request = running.pop(future)
                outcome = self._result(future, request)
                for event in outcome.events:
                    self.listener.on_event(event.name, event.fields)
                if outcome.status == "busy":
                    waiting[request.key] = request
                    retry_at[request.key] = time.monotonic() + BUSY_SECONDS
                else:
                    done = total - len(waiting) - len(running)
                    self.listener.on_progress(done, total, request.label or request.stage)

    def _submit_ready(
        self,
        waiting: dict[str, StageRequest],
        running: dict[Future[Outcome], StageRequest],
        retry_at: dict[str, float],
    ) -> None:
        unfinished = {*waiting, *(r.key for r in running.values())}
        now = time.monotonic()
        for key in list(waiting):
            # One request more than workers hides the round trip between two tasks.
            if len(running) > self.workers:
                return
            request = waiting[key]
            if retry_at.get(key, 0) > now or unfinished.intersection(request.input_keys()):
                continue
            if self._apart(request) and sum(map(self._apart, running.values())) > self.holding:
                continue
            del waiting[key]
            running[self._submit(request)] = request

    def _apart(self, request: StageRequest) -> bool:
        """Whether a request is for the processes that hold large models."""
        return self.holding < self.workers and bool(request.local.get(HOLDS))

    def _submit(self, request: StageRequest) -> Future[Outcome]:
        apart = self._apart(request)
        if apart not in self._pools:
            context = self._context = worker_context()
            self._began = self._began or context.Event()
            self._pools[apart] = ProcessPoolExecutor(
                self.holding if apart else self.workers,
                mp_context=context,
                initializer=start_worker,
                initargs=(dict(os.environ), self._began),
            )
        pool = self._pools[apart]
        assert self._context is not None
        with starting_workers(self._context):
            future = pool.submit(_work, request, self.store.root)
        if self._began is not None and not self._began.is_set():
            self._processes.update(pool._processes or {})
        return future

    def _result(self, future: Future[Outcome], request: StageRequest) -> Outcome:
        try:
            return future.result()
        except SynthliftError:
            raise
        except BrokenProcessPool as error:
            if self._ended_by_script():
                raise read_anew() from error
            raise StageError(
                f"a worker died during '{request.label or request.stage}' (out of memory?). "
                "Finished work is kept: run again with fewer --workers or a smaller image size"
            ) from error
        except Exception as error:
            raise StageError(
                f"'{request.label or request.stage}' failed: {type(error).__name__}: {error}"
            ) from error

    def _ended_by_script(self) -> bool:
        """Whether no worker got as far as its own work, and one of them ended by itself."""
        if self._began is None or self._began.is_set():
            return False
        for pool in self._pools.values():
            pool.shutdown(wait=True)  # its thread learns how each of them ended
        codes = [process.exitcode for process in self._processes.values()]
        return any(code is not None and code >= 0 for code in codes)

    def _shut_down(self, *, kill: bool) -> None:
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools if kill else ():
            # Work folders hold check-points, so ending a worker loses one batch at most.
            for process in list((pool._processes or {}).values()):
                process.kill()
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)


def _missing(store: Store, requests: Iterable[StageRequest]) -> dict[str, StageRequest]:
    wanted = {request.key: request for request in requests}
    return {key: request for key, request in wanted.items() if not store.has(key)}


def _work(request: StageRequest, root: Path) -> Outcome:
    events: list[Event] = []
    began = time.perf_counter()
    settle()
    status = Store(root).compute(
        request,
        log=lambda name, **fields: events.append(Event(name, fields)),
        counter=energy_counter(request.device),
    )
    seconds = time.perf_counter() - began
    if status == "computed":
        done = {"stage": request.stage, "key": request.key, "label": request.label}
        events.append(Event("stage_done", {**done, "seconds": round(seconds, 3)}))
    return Outcome(request.key, status, events, seconds)


def default_workers(count: int | None = None) -> int:
    """The number of workers to use: as asked, else one per available core."""
    if count:
        return count
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def keys_of(requests: Sequence[StageRequest]) -> list[str]:
    """The keys of requests, in order."""
    return [request.key for request in requests]
