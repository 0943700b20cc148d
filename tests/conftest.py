"""What all tests share: no test touches the user's folders, the network or many threads."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# Before torch or OpenMP is loaded: results must not depend on the machine's core count.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["MPLBACKEND"] = "Agg"
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from hypothesis import settings

from synthlift import registry
from synthlift.machine import free_bytes
from synthlift.study.executors import starting
from tests.e2e.browsing import chromium

# Tests share two cores: a slow example is no failure, and every run tries the same ones.
settings.register_profile("synthlift", deadline=None, derandomize=True)
settings.load_profile("synthlift")
# Extensions complain of leaks where objects stay exempt from the search for garbage at the end.
atexit.register(gc.unfreeze)

ROOT = Path(__file__).resolve().parent.parent
# Studies start many processes that import torch: bytecode is compiled once, not in each.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
# Workers of the studies that tests run are forked from a process that has imported diffusers.
starting.IMPORTED = "tests.preloaded"
# matplotlib's font list takes seconds to build; it depends on no test, so it is kept.
os.environ.setdefault("MPLCONFIGDIR", str(ROOT / ".cache" / "matplotlib"))
IN_MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30
FOLDERS = {
    "SYNTHLIFT_STORE": "store",
    "SYNTHLIFT_DATA_HOME": "data-home",
    "HOME": "home",
    "USERPROFILE": "home",
    "XDG_CACHE_HOME": "home/.cache",
    "XDG_CONFIG_HOME": "home/.config",
    "XDG_DATA_HOME": "home/.local/share",
    "XDG_STATE_HOME": "home/.local/state",
}


def pytest_configure() -> None:
    """Temporary folders lie in memory where there is room: each study flushes a hundred files."""
    there = os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= ROOM
    if there and free_bytes() >= 2 * ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


# So that no process is left alone with a long file at the end: those of 15 seconds and more.
LONGEST = (
    "e2e/test_web_mishaps.py",
    "e2e/test_web_keyboard.py",
    "e2e/test_web_pages.py",
    "e2e/test_designs_and_limits.py",
    "unit/web/test_models.py",
    "e2e/test_kill.py",
    "e2e/test_preview.py",
    "unit/web/test_limits.py",
    "e2e/test_web_prompts.py",
    "e2e/test_retrieval.py",
    "e2e/test_clip.py",
    "e2e/test_bad_input.py",
    "e2e/test_web.py",
    "e2e/test_web_questions.py",
    "e2e/test_after_the_opening.py",
    "e2e/test_cross_selection.py",
    "e2e/test_pools.py",
    "unit/generators/test_embedded_model.py",
    "e2e/test_whole_path.py",
    "e2e/test_sharing_work.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, where files are handed out to several processes."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return
    tests = Path(__file__).parent
    places = {tests / name: place for place, name in enumerate(LONGEST)}
    assert all(path.exists() for path in places), "LONGEST names a file that is gone"
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session", autouse=True)
def private_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Point the store, the ledger and the home folder at a temporary place."""
    base = tmp_path_factory.mktemp("user")
    with pytest.MonkeyPatch.context() as patch:
        for variable, name in FOLDERS.items():
            folder = base / name
            folder.mkdir(parents=True, exist_ok=True)
            patch.setenv(variable, str(folder))
        yield base


@pytest.fixture(scope="module", autouse=True)
def no_plugins_of_others() -> Iterator[None]:
    """Whatever a file's tests register is forgotten after it, in whichever order files come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_plugins", {})
        yield


@pytest.fixture(scope="module", autouse=True)
def little_to_search_for_garbage() -> None:
    """What is there when a file begins is exempt: searching all of torch takes 0.3 s a time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Find a file of the real image collections, or skip and name it.

    They lie in ``$SYNTHLIFT_TEST_DATA``, else in ``shared/data`` beside the repository.
    """
    folder = Path(os.environ.get("SYNTHLIFT_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"{name} is not in SYNTHLIFT_TEST_DATA ({folder})")
        return path

    return find


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The only browser of a process: a second one cannot be driven beside it."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def tiny_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text-to-image pipeline with random weights in the real format."""
    from tests.pipelines import tiny_stable_diffusion

    return tiny_stable_diffusion(tmp_path_factory.mktemp("pipelines") / "tiny")


@pytest.fixture(scope="session")
def tiny_clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """CLIP checkpoints with random weights in all formats that are read, by library."""
    from tests.clips import tiny_clip, tiny_open_clip, tiny_open_clip_with_bert, tiny_siglip
    from tests.duals import tiny_dual

    folder = tmp_path_factory.mktemp("clips")
    return {
        "transformers": tiny_clip(folder / "transformers"),
        "siglip": tiny_siglip(folder / "siglip"),
        "open_clip": tiny_open_clip(folder / "open_clip"),
        "open_clip_bert": tiny_open_clip_with_bert(folder / "open_clip_bert"),
        "siglip2": tiny_dual(folder / "siglip2", "siglip2"),
    }


@pytest.fixture(scope="session")
def tiny_clip(tiny_clips: dict[str, Path]) -> Path:
    """The one in transformers' format."""
    return tiny_clips["transformers"]


@pytest.fixture(scope="session")
def tiny_autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An autoencoder without anyone's weights: means of 2 × 2 pixels, and back."""
    from tests.autoencoders import pooling_weights, write_pair

    return write_pair(tmp_path_factory.mktemp("autoencoders") / "tiny", pooling_weights())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 96 MiB in memory; only root can make one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=96m", "synthlift-test", str(folder)]
    tool = shutil.which("mount")
    if tool is None or subprocess.run([tool, *options], capture_output=True).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
