"""How much memory there is: of a container, what it was given, not what its machine has."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from synthlift.machine import free_bytes, memory_bytes

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


@pytest.mark.parametrize(
    ("own", "folder", "names", "idle"),
    [
        ("0::/\n", "", ("memory.max", "memory.current"), "inactive_file"),
        (
            VERSION_1.format("/a"),
            "memory/a",
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
            "total_inactive_file",
        ),
    ],
)
def test_what_others_of_a_container_use_is_not_free(
    own: str, folder: str, names: tuple[str, str], idle: str, tmp_path: Path
) -> None:
    (tmp_path / "own").write_text(own)
    place = tmp_path / "groups" / folder
    place.mkdir(parents=True)
    for name, value in zip(names, (1_000_000, 700_000), strict=True):
        (place / name).write_text(f"{value}\n")
    assert free_bytes(tmp_path / "groups", tmp_path / "own") == 300_000
    (place / "memory.stat").write_text(f"cache 5\n{idle} 100000\n")
    assert free_bytes(tmp_path / "groups", tmp_path / "own") == 400_000


def test_without_control_groups_it_is_the_machines(tmp_path: Path) -> None:
    assert memory_bytes(tmp_path, tmp_path / "nothing") == MACHINE
    assert 0 < free_bytes() <= memory_bytes() <= MACHINE
