"""Workers are forked from one process that has imported what they need, and share nothing else."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from synthlift.errors import StageError
from synthlift.store import StageContext, StageRequest, Store, Summary
from synthlift.study.devices import has_accelerator
from synthlift.study.executors.local import LocalExecutor
from synthlift.study.executors.starting import (
    IMPORTED,
    LONGEST_FOLDER,
    deaf_to_interrupts,
    worker_context,
)

HERE = "tests.unit.study.test_starting"
ROOT = Path(__file__).resolve().parents[3]
FORKED = sys.platform.startswith("linux") and not has_accelerator()
LINUX = pytest.mark.skipif(not FORKED, reason="forked on Linux without a GPU only")


def look(request: StageRequest, context: StageContext) -> Summary:
    """What a worker sees, and a mark in its memory that no other may find."""
    found = vars(sys.modules[__name__]).setdefault("SEEN", [])
    found.append(request.config["number"])
    modules = ("torch", "torch._dynamo", "synthlift.training.trainer", "synthlift.web")
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "threads_of_parent": psutil.Process(os.getppid()).num_threads(),
        "loaded": [name for name in modules if name in sys.modules],
        "variable": os.environ.get("SYNTHLIFT_TEST_VARIABLE"),
        "threads": [os.environ["OMP_NUM_THREADS"], sys.modules["torch"].get_num_threads()],
        "collects": gc.isenabled(),
        "deaf": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "seen": found,
        "folder": str(Path.cwd()),
    }


def looks(folder: Path, *numbers: int, workers: int = 1) -> list[dict[str, Any]]:
    """What the workers of one pool saw, in the order of the requests."""
    store = Store(folder / "store")
    requests = [
        StageRequest(stage="look", function=f"{HERE}:look", config={"number": n}) for n in numbers
    ]
    with LocalExecutor(store, workers=workers) as executor:
        executor.run(requests)
    return [dict(store.open(request.key).summary) for request in requests]


@LINUX
def test_pools_fork_from_one_process_that_has_imported_torch_and_has_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = looks(tmp_path, 1)
    monkeypatch.setenv("SYNTHLIFT_TEST_VARIABLE", "told later")
    monkeypatch.chdir(tmp_path)
    (second,) = looks(tmp_path, 2)
    assert first["pid"] != second["pid"]
    assert first["parent"] == second["parent"] != os.getpid()
    assert (first["threads_of_parent"], second["threads_of_parent"]) == (1, 1)
    assert (first["variable"], second["variable"]) == (None, "told later")
    assert (first["seen"], second["seen"]) == ([1], [2]), "nothing stays of another pool"
    assert second["folder"] == str(tmp_path)
    for one in (first, second):
        assert one["threads"] == ["1", 1]
        assert one["deaf"]
        assert one["collects"]


@LINUX
def test_that_process_has_imported_no_compiler_and_no_pages(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from {HERE} import looks
print(looks(Path({str(tmp_path)!r}), 1)[0]["loaded"])
"""
    said = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=ROOT)
    assert said == "['torch', 'synthlift.training.trainer']\n"


def test_a_pool_that_a_thread_starts_does_the_same(tmp_path: Path) -> None:
    found: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: found.extend(looks(tmp_path, 1, 2, 3, workers=2)))
    thread.start()
    thread.join()
    assert len(found) == 3
    assert all(one["deaf"] and one["threads"] == ["1", 1] for one in found)


@pytest.fixture
def hears_interrupts() -> Iterator[None]:
    """Where tests run in the background, shells have them ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


INTERRUPTED = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('goes on')"


@pytest.mark.usefixtures("hears_interrupts")
def test_ctrl_c_while_workers_start_is_heard_by_their_parent_alone_once_they_have() -> None:
    command, said = [sys.executable, "-c", INTERRUPTED], []

    def start() -> None:
        with deaf_to_interrupts():
            os.kill(os.getpid(), signal.SIGINT)
            said.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    with pytest.raises(KeyboardInterrupt):
        start()
    assert said == ["goes on\n"]
    with deaf_to_interrupts():
        pass  # nothing is held back from the last time
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


IMPATIENT = f"""
import os, signal, sys, threading, time
from pathlib import Path
import psutil
from synthlift.errors import Interrupted
from synthlift.store import StageRequest, Store
from synthlift.study.executors.local import LocalExecutor

def servers():
    return [one for one in psutil.Process().children()
            if one.status() != "zombie" and "forkserver" in str(one.cmdline())]

def press():
    while not servers():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=press).start()
    request = StageRequest(stage="look", function="{HERE}:nothing")
    for _ in range(2):
        try:
            with LocalExecutor(Store(Path(sys.argv[1])), workers=1) as executor:
                executor.run([request])
            print("done")
        except Interrupted:
            print("interrupted", servers())
"""


@LINUX
def test_ctrl_c_does_not_wait_for_what_the_first_worker_imports(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(IMPATIENT)
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, str(file), str(tmp_path / "store")]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.splitlines() == ["interrupted []", "done"], "another one is begun then"
    assert done.stderr == ""


def test_where_no_socket_fits_workers_import_for_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * LONGEST_FOLDER)
    assert worker_context().get_start_method() == "spawn"


@LINUX
def test_workers_are_forked_here() -> None:
    assert worker_context().get_start_method() == "forkserver"
    assert multiprocessing.get_start_method(allow_none=True) != "forkserver", "the user's own"
    for module in (IMPORTED, "synthlift.study.executors.imported"):
        assert module not in sys.modules, "what it imports is heavy"


BARE = f"""
import sys
from pathlib import Path
from synthlift.store import StageRequest, Store
from synthlift.study.executors.local import LocalExecutor
request = StageRequest(stage="look", function="{HERE}:nothing")
with LocalExecutor(Store(Path(sys.argv[1])), workers=2) as executor:
    executor.run([request])
"""
GUARDED = BARE.replace("with Local", 'if __name__ == "__main__":\n  with Local')


def nothing(request: StageRequest, context: StageContext) -> Summary:
    return {}


def test_a_script_that_workers_run_anew_is_told_what_it_lacks(tmp_path: Path) -> None:
    room = tmp_path / ("long" * (LONGEST_FOLDER // 4))  # for forks, which take longer to begin
    room.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "TMPDIR": str(room)}

    def run(script: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "mine.py"
        file.write_text(script)
        command = [sys.executable, str(file), str(tmp_path / "store")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    said = run(BARE).stderr.strip().splitlines()[-3:]
    assert "the script 'mine.py' ran again in a worker, which ended with it" in said[0]
    assert said[1].startswith("  Rule: every worker reads the script")
    assert 'below a line `if __name__ == "__main__":`' in said[2]
    assert run(GUARDED).returncode == 0


def end(request: StageRequest, context: StageContext) -> Summary:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def test_a_worker_that_is_killed_at_its_work_is_no_fault_of_a_script(tmp_path: Path) -> None:
    request = StageRequest(stage="end", function=f"{HERE}:end")
    with (
        pytest.raises(StageError, match="out of memory"),
        LocalExecutor(Store(tmp_path / "store"), workers=1) as executor,
    ):
        executor.run([request])
