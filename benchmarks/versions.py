"""How often a picture that occurs in several versions is torn apart, and what is joined by mistake.

Versions as from offline augmentation are planted: saved anew (JPEG of quality 80, ±10 % brightness,
mirrored or not) or cropped (up to 9 % of a side, the same besides). For each share of the pictures
that have versions and each number of them, the search of a study says which images belong together.
*torn* pictures lie in several groups; *stray* images lie outside their picture's largest group;
*lost* is how many pictures were joined to others: true ones, too, where the folder shows one thing
several times. The row with a share of 0 is the folder as it is.

    python benchmarks/versions.py FOLDER [--most 300] [--size 64] [--json FILE]

Without a folder: pieces of the two photographs, and the digits, that come with scikit-learn.
"""

from __future__ import annotations

import argparse
import io
import json
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from synthlift.data.alike import alike
from synthlift.data.faults.near_duplicates import components
from synthlift.data.faults.perceptual import thumbnails
from synthlift.data.integrity import pixel_hash
from synthlift.data.inventory import Row
from synthlift.types import UInt8

SHARES, VERSIONS = (0.2, 0.5, 1.0), (3, 10)
CROPPED = 0.09
ENDINGS = (".png", ".jpg", ".jpeg", ".bmp")
Edit = Callable[[UInt8, np.random.Generator], UInt8]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--most", type=int, default=300, help="pictures")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.folder is None:
        sets = {"photographs": pieces(), "digits": digits(given.most)}
    else:
        sets = {given.folder.name: read(given.folder, most=given.most, size=given.size)}
    found = []
    for name, pictures in sets.items():
        plans: list[tuple[float, int, Edit]] = [(0.0, 1, saved_anew)]
        plans += list(product(SHARES, VERSIONS, (saved_anew, cropped)))
        for share, versions, edit in plans:
            found.append({"pictures": name, **measure(pictures, share, versions, edit)})
            print(json.dumps(found[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


def saved_anew(image: UInt8, rng: np.random.Generator) -> UInt8:
    """As JPEG, a little brighter or darker, mirrored or not."""
    stream = io.BytesIO()
    Image.fromarray(_changed(image, rng)).save(stream, "JPEG", quality=80)
    return np.asarray(Image.open(stream))


def cropped(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Without up to 9 % of a side, brought back to size; brighter, darker, mirrored or not."""
    side = image.shape[0]
    less = int(rng.integers(1, max(1, round(side * CROPPED)) + 1))
    top, left = rng.integers(0, less + 1, 2)
    cut = _changed(image[top : top + side - less, left : left + side - less], rng)
    return np.asarray(Image.fromarray(cut).resize((side, side), Image.Resampling.BICUBIC))


def _changed(image: UInt8, rng: np.random.Generator) -> UInt8:
    brighter = np.clip(image * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(brighter[:, :: rng.choice([1, -1])])


def measure(pictures: Sequence[UInt8], share: float, versions: int, edit: Edit) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    several = round(share * len(pictures))
    images: dict[str, tuple[int, UInt8]] = {}  # Exact copies are left out before.
    for number, picture in enumerate(pictures):
        for version in range(versions if number < several else 1):
            image = edit(picture, rng) if version else picture
            images.setdefault(pixel_hash(image), (number, image))
    rows = [
        Row(f"{k:06}", "ab"[number % 2], f"{k:06}", "", sha256=content)
        for k, (content, (number, _)) in enumerate(images.items())
    ]
    small = [thumbnails(_with_channel(image))[0][..., None] for _, image in images.values()]
    seen = alike(rows, small)
    own = np.array([number for number, _ in images.values()])
    label = components(seen.pairs, count=len(rows))
    sizes = [Counter(label[own == number].tolist()) for number in range(several)]
    pictured = [(int(own[pair.first]), int(own[pair.second])) for pair in seen.pairs]
    false = [pair for pair in pictured if pair[0] != pair[1]]
    return {
        "share": share,
        "versions": versions,
        "edit": edit.__name__,
        "images": len(rows),
        "torn": sum(len(found) > 1 for found in sizes),
        "of": several,
        "stray": sum(sum(found.values()) - max(found.values()) for found in sizes),
        "lost": len(pictures) - _components(false, len(pictures)),
        "said": list(seen.apart),
    }


def _components(pairs: Sequence[tuple[int, int]], count: int) -> int:
    parent = list(range(count))

    def root(one: int) -> int:
        while parent[one] != one:
            one = parent[one]
        return one

    for first, second in pairs:
        parent[root(first)] = root(second)
    return sum(parent[one] == one for one in range(count))


def _with_channel(image: UInt8) -> UInt8:
    return image[None, ..., None] if image.ndim == 2 else image[None]


def pieces(side: int = 44) -> list[UInt8]:
    """Pieces of the two photographs that show something."""
    from sklearn.datasets import load_sample_images

    found = [
        image[top : top + side, left : left + side]
        for image in load_sample_images().images
        for top in range(0, image.shape[0] - side + 1, side)
        for left in range(0, image.shape[1] - side + 1, side)
    ]
    return [x for x in found if np.abs(np.diff(x.astype(float).mean(2), axis=1)).mean() > 7]


def digits(most: int, side: int = 28) -> list[UInt8]:
    """Handwritten digits, enlarged from 8 pixels."""
    from sklearn.datasets import load_digits

    small = (load_digits().images[:most] * 15.9).astype(np.uint8)
    size = (side, side)
    return [np.asarray(Image.fromarray(d).resize(size, Image.Resampling.BICUBIC)) for d in small]


def read(folder: Path, *, most: int, size: int) -> list[UInt8]:
    """Pictures of a folder, drawn at random, at one size."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
    order = np.random.default_rng(0).permutation(len(paths))[:most]
    found = []
    for place in order:
        image = Image.open(paths[place]).convert("RGB")
        found.append(np.asarray(image.resize((size, size), Image.Resampling.BICUBIC)))
    return found


if __name__ == "__main__":
    main()
