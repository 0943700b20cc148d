"""Terms of the models behind generated images: word by word beside whatever holds such images."""

from __future__ import annotations

import shutil
from itertools import chain, count
from pathlib import Path

from synthlift.spec.provenance import LICENCE

INSIDE = ("images", "data", "train")
"""Folders of images in one that Synthlift wrote."""


def licences_of(place: Path) -> dict[str, Path]:
    """Texts that lie with generated images, by the names under which they go along.

    Args:
        place: a folder that Synthlift wrote, such as by ``generate``, ``curate`` or ``export``; the
            images or the table in it; or any other place, with which none lie.
    """
    if not place.exists():
        return {}
    folder = place if place.is_dir() else place.parent
    # What lies above any other folder belongs to something else.
    above = (folder.parent,) if folder.name in INSIDE else ()
    for one in (folder, *above):
        kept = sorted(one.glob(f"generators/*/*{LICENCE}"))
        found = {f"{path.parent.name}-{path.name}": path for path in kept}
        found.update((path.name, path) for path in sorted(one.glob(f"*{LICENCE}")))
        if found:
            return found
    return {}


def copy_licences(place: Path, target: Path) -> None:
    """Lay what :func:`licences_of` finds into another folder, where no other text is lost by it."""
    for name, text in licences_of(place).items():
        names = chain([name], (f"{number}-{name}" for number in count(2)))
        free = next(one for one in names if _takes(target / one, text.read_bytes()))
        shutil.copyfile(text, target / free)


def _takes(place: Path, text: bytes) -> bool:
    return not place.exists() or place.read_bytes() == text


def kept_licences(generator: Path) -> dict[str, str]:
    """The texts in the folder of a generator that is kept, by the names of their files."""
    return {
        path.name: path.read_text("utf-8", errors="replace")
        for path in sorted(generator.glob(f"*{LICENCE}"))
    }
