"""What tests of the web app share: one tiny finished study a process, and a server a file.

A file that needs another study or server has fixtures of these names of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthlift.web.library import id_of
from tests.e2e.serving import Server, finished_study, serving


@pytest.fixture(scope="session")
def drawn_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, store and run of a study of drawn images; whoever writes takes a copy."""
    base = tmp_path_factory.mktemp("drawn-study")
    assert finished_study(base) == base / "run"
    return base


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, drawn_study: Path) -> Path:
    """This file's own copy of it, whose store knows the copied run alone."""
    place = shutil.copytree(
        drawn_study,
        tmp_path_factory.mktemp("web") / "home",
        ignore=lambda folder, _: ["data"] if Path(folder) == drawn_study else [],
    )
    # The very pictures, which nobody changes: copies would be read anew.
    (place / "data").symlink_to(drawn_study / "data")
    for root in (place / "store" / "roots").iterdir():
        root.write_text(root.read_text().replace(str(drawn_study), str(place)))
    return place


@pytest.fixture(scope="module")
def finished(home: Path) -> Path:
    """The run folder."""
    return home / "run"


@pytest.fixture(scope="module")
def server(home: Path, finished: Path) -> Iterator[Server]:
    """A server that shows the run and offers its pictures."""
    with serving(home, [str(finished), "--data", str(home / "data"), "--workers", "1"]) as found:
        yield found


@pytest.fixture(scope="module")
def run_id(finished: Path) -> str:
    """How the server calls the run."""
    return id_of(finished.resolve())
