"""Terms of the models behind generated images: word by word beside whatever holds such images."""

from __future__ import annotations

import shutil
from pathlib import Path

from synthlift.spec.provenance import LICENCE


def licences_of(place: Path) -> dict[str, Path]:
    """Texts that lie with generated images, by the names under which they go along.

    Args:
        place: a folder that Synthlift wrote, such as by ``generate``, ``curate`` or ``export``; the
            images or the table in it; or any other place, with which none lie.
    """
    if not place.exists():
        return {}
    folder = place if place.is_dir() else place.parent
    for one in (folder, folder.parent):
        kept = sorted(one.glob(f"generators/*/*{LICENCE}"))
        found = {f"{path.parent.name}-{path.name}": path for path in kept}
        found.update((path.name, path) for path in sorted(one.glob(f"*{LICENCE}")))
        if found:
            return found
    return {}


def copy_licences(place: Path, target: Path) -> None:
    """Lay what :func:`licences_of` finds into another folder."""
    for name, text in licences_of(place).items():
        shutil.copyfile(text, target / name)


def kept_licences(generator: Path) -> dict[str, str]:
    """The texts in the folder of a generator that is kept, by the names of their files."""
    return {
        path.name: path.read_text("utf-8", errors="replace")
        for path in sorted(generator.glob(f"*{LICENCE}"))
    }
