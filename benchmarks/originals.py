"""What the store takes for originals: pictures of a folder, losslessly compressed as a study does.

Claim: 80,000 pictures of 512 px need far less than the 63 GB of their plain pixels.

    python -m benchmarks.originals FOLDER [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthlift.store.packed import packed

ENDINGS = (".jpg", ".jpeg", ".png")
COUNT, SIDE = 80_000, 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found = measure(given.folder)
    print(json.dumps(found, indent=1))
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def measure(folder: Path) -> dict[str, Any]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    plain, small, seconds, sizes = 0, 0, 0.0, set[tuple[int, int]]()
    for path in files:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        began = time.process_time()
        stream = packed(pixels)
        seconds += time.process_time() - began
        plain, small = plain + pixels.size, small + len(stream)
        sizes.add((pixels.shape[1], pixels.shape[0]))
    whole = COUNT * SIDE * SIDE * 3
    return {
        "pictures": len(files),
        "sizes": sorted(sizes)[:5],
        "packed_share": round(small / plain, 3),
        "gigabytes_of_80000_at_512": round(whole * small / plain / 1e9, 1),
        "plain_gigabytes": round(whole / 1e9, 1),
        "milliseconds_a_megapixel": round(1e3 * seconds / (plain / 3e6), 1),
    }


if __name__ == "__main__":
    main()
