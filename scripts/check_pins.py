"""Do the pins belong to pyproject.toml? ``--stamp FILE`` writes the mark that the check reads."""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ("requirements/run.txt", "requirements/dev.txt")
MARK = "# pyproject.toml's dependencies: sha256 "


def dependency_digest() -> str:
    """SHA-256 (hex) over everything in pyproject.toml that decides which packages are pinned."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        tables = tomllib.load(stream)
    project = tables["project"]
    parts = {
        "dependencies": project["dependencies"],
        "optional": project.get("optional-dependencies", {}),
        "groups": tables["dependency-groups"],
        "python": project["requires-python"],
        "build": tables["build-system"]["requires"],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def pinned(text: str) -> dict[str, str]:
    """Name and marker → version of every pin in a requirements file."""
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)( ;[^\\]*)?", text, flags=re.MULTILINE)
    return {name + marker.strip(): version for name, version, marker in lines}


def complaints() -> list[str]:
    """What is wrong with the pins, as lines for people."""
    texts = {name: (ROOT / name).read_text() for name in PINS}
    mark = MARK + dependency_digest()
    found = [
        f"{name} is older than pyproject.toml's dependencies; run `make lock`"
        for name, text in texts.items()
        if mark not in text.splitlines()
    ]
    dev = pinned(texts[PINS[-1]])
    found += [
        f"{name}: {file} pins {version}, dev.txt {dev[name]}; run `make lock`"
        for file, text in texts.items()
        for name, version in pinned(text).items()
        if name in dev and dev[name] != version
    ]
    return found


def main() -> int:
    """Check, or with ``--stamp`` put the mark on top of one file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stamp", type=Path, metavar="FILE")
    stamp: Path | None = parser.parse_args().stamp
    if stamp is not None:
        lines = [line for line in stamp.read_text().splitlines() if not line.startswith(MARK)]
        stamp.write_text("\n".join([MARK + dependency_digest(), *lines]) + "\n")
        return 0
    found = complaints()
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
