"""How worker processes start: with one thread, deaf to Ctrl-C, gone with their parent.

Importing torch and what stages need takes a processor some seconds. On Linux one process does so,
and workers are forked from it: however many there are, and however often a pool is started anew,
the imports are paid once and their memory is shared. That process has one thread and computes
nothing, so forking it is safe. Elsewhere, and where there may be a GPU, whose libraries forbid
forks once they are in use, every worker imports for itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.synchronize import Event
from pathlib import Path

from synthlift.errors import InputError
from synthlift.study.devices import has_accelerator
from synthlift.study.executors.memory import keep_freed_memory, spare_imported_modules

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
ONE_THREAD = {
    **dict.fromkeys(THREAD_VARIABLES, "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""What a process must find when it starts, to have one thread: that of pyarrow's allocator, too."""
IMPORTED = "synthlift.study.executors.imported"
"""The module that the process imports from which workers are forked."""
LONGEST_FOLDER = 70
"""Characters of the folder for temporary files in which a socket's path is short enough (107)."""


def worker_context() -> BaseContext:
    """The way in which workers are started here."""
    can_fork = sys.platform.startswith("linux") and not has_accelerator()
    if not can_fork or len(tempfile.gettempdir()) > LONGEST_FOLDER:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([IMPORTED])
    return context


@contextlib.contextmanager
def one_thread_environment() -> Iterator[None]:
    """What starts meanwhile reads, before it imports torch or BLAS, that it has one thread."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Processes that start meanwhile inherit that Ctrl-C is the parent's business.

    The parent hears it at the end of the block: the first worker takes seconds to start.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    had = _block_interrupts()
    try:
        yield
    finally:
        if had is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, had)
        signal.signal(signal.SIGINT, before)
        if heard:
            signal.raise_signal(signal.SIGINT)


def _block_interrupts() -> set[int] | None:
    """Hold them back, which processes inherit where this exists; what was held back before."""
    if not hasattr(signal, "pthread_sigmask"):
        return None
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


@contextlib.contextmanager
def starting_workers(context: BaseContext) -> Iterator[None]:
    """The block that hands a pool a request, and so may start a worker.

    A worker that is forked is waited for until the process that it comes from has imported what
    it needs. Who presses Ctrl-C meanwhile waits for neither.
    """
    with one_thread_environment():
        with deaf_to_interrupts():
            begun = _begin_server(context)
        if begun is None:
            with deaf_to_interrupts():
                yield
            return
        try:
            yield
        except KeyboardInterrupt:
            os.kill(begun, signal.SIGKILL)
            # It is left to be asked how it ended, by who starts another one.
            os.waitid(os.P_PID, begun, os.WEXITED | os.WNOWAIT)
            raise


def _begin_server(context: BaseContext) -> int | None:
    """Begin the process that workers are forked from; its number, None = there is one or none."""
    if context.get_start_method() != "forkserver":
        return None
    server = forkserver._forkserver
    before = getattr(server, "_forkserver_pid", None)
    server.ensure_running()
    now: int | None = getattr(server, "_forkserver_pid", None)
    return now if now != before else None


def require_main_process() -> None:
    """Refuse to start workers from a worker that is only reading the script of its parent.

    Raises:
        InputError: it is.
    """
    # Set by multiprocessing while a process reads the main module anew.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise read_anew()


def read_anew() -> InputError:
    """What to say where a script that starts workers does so again in each of them."""
    script = Path(getattr(sys.modules.get("__main__"), "__file__", None) or sys.argv[0])
    return InputError(
        f"the script '{script.name}' ran again in a worker, which ended with it",
        rule="every worker reads the script that starts it, so that what stands at its top level "
        "happens in each of them, too",
        remedy='put what the script does below a line `if __name__ == "__main__":`',
    )


def start_worker(environment: Mapping[str, str], began: Event) -> None:
    """The first thing that a worker does.

    Args:
        environment: its parent's; a forked worker has that of the time of the first fork.
        began: tells its parent that it came so far.
    """
    began.set()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.clear()
    os.environ.update(environment)
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    keep_freed_memory()
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def settle() -> None:
    """Before every stage: one thread, and no garbage collection of what was imported."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
        spare_imported_modules()
