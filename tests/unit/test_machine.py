"""How much memory there is: of a container, what it was given, not what its machine has."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from synthlift.machine import memory_bytes

MACHINE = psutil.virtual_memory().total
VERSION_1 = "12:cpu,cpuacct:/\n9:memory:{}\n1:name=systemd:/\n0::/\n"
ROOM = str(2**63 - 4096)  # what version 1 says where nothing is limited


@pytest.mark.parametrize(
    ("own", "files", "wanted"),
    [
        ("0::/\n", {"memory.max": "1000000"}, 1_000_000),
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/memory.max": "700000"}, 700_000),
        ("0::/../other\n", {"memory.max": "800000"}, 800_000),
        ("0::/\n", {"memory.max": "max"}, MACHINE),
        ("0::/\n", {}, MACHINE),
        (VERSION_1.format("/"), {"memory/memory.limit_in_bytes": ROOM}, MACHINE),
        (VERSION_1.format("/docker/1f"), {"memory/memory.limit_in_bytes": "500000"}, 500_000),
        (VERSION_1.format("/a"), {"memory/a/memory.limit_in_bytes": "400000"}, 400_000),
    ],
)
def test_the_least_limit_counts(
    own: str, files: dict[str, str], wanted: int, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text(own)
    for name, text in files.items():
        file = tmp_path / "groups" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{text}\n")
    assert memory_bytes(tmp_path / "groups", tmp_path / "own") == wanted


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path, tmp_path / "nothing") == MACHINE
    assert 0 < memory_bytes() <= MACHINE
