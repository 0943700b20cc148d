"""The Dockerfile's steps in a clean Debian: built, started without a network, and asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0 or shutil.which("debootstrap") is None,
    reason="needs root and debootstrap",
)
def test_the_container_is_built_and_works(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/try_container.py", "--place", str(tmp_path / "place")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "the container works" in done.stdout
