"""Rules for files that no tool knows: length, words of unfinished work, addresses of registries."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MAXIMUM_LINES = 400
# Split so that this file passes its own check.
UNFINISHED = re.compile(
    r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b"
)
INDEX = re.compile(r"--(extra-)?index-" + r"url|--find-" + r"links|files\.python" + r"hosted\.org")
TEXT = {".py", ".md", ".toml", ".sh", ".txt", ".yaml", ".yml", ".html", ".css", ".js", ""}


def repository_files() -> list[Path]:
    """All files that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file() and path.suffix in TEXT]


def complaints(path: Path) -> Iterator[str]:
    """What is wrong with one file, as lines for people."""
    name = path.relative_to(ROOT)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return
    if path.suffix == ".py" and len(lines) > MAXIMUM_LINES:
        yield f"{name}: {len(lines)} lines, more than {MAXIMUM_LINES}: split it by subject"
    for number, line in enumerate(lines, start=1):
        if UNFINISHED.search(line) and path.suffix != "":
            yield f"{name}:{number}: a word of unfinished work: {line.strip()[:80]}"
        if INDEX.search(line):
            yield f"{name}:{number}: names a package index: {line.strip()[:80]}"


def main() -> int:
    """Print every complaint; 1 if there is one."""
    found = [text for path in repository_files() for text in complaints(path)]
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
