"""Print pinned requirements without PyTorch and CUDA, or what a build without CUDA needs instead.

python scripts/without_cuda.py requirements/run.txt            # the others, with their hashes
python scripts/without_cuda.py requirements/run.txt --torch    # torch==… torchvision==…
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

TORCH = ("torch", "torchvision")
_CUDA = re.compile(r"(torch|torchvision|triton|nvidia-.*|cuda-.*)")


def blocks(text: str) -> list[str]:
    """Requirements with their hashes, and comments, each a block of lines."""
    return re.findall(r"^\S.*(?:\n[ \t].*)*", text, re.MULTILINE)


def name_of(block: str) -> str:
    """The distribution; "" of a comment."""
    found = re.match(r"([A-Za-z0-9._-]+)==", block)
    return found.group(1) if found else ""


def main() -> None:
    """Print one or the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--torch", action="store_true")
    given = parser.parse_args()
    for block in blocks(given.file.read_text(encoding="utf-8")):
        name = name_of(block)
        if given.torch:
            if name in TORCH:
                print(block.split()[0])
        elif not _CUDA.fullmatch(name):
            print(block)


if __name__ == "__main__":
    main()
