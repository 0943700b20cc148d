"""Contact sheets of what a generator draws while it trains.

They are made of the samples that its training monitor looks at anyway, so they cost no sampling and
change nothing that is learnt.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from synthlift.store.files import write_bytes_atomic
from synthlift.types import ImageBatch, Monitor, MonitorReading, UInt8
from synthlift.vision.sheets import SHEET_COLUMNS, contact_sheet, synthetic_png

MOST_SHEETS = 12
"""Of one fit; of more looks every second one is kept, and so on."""
MOST_CLASSES = 12


class SheetKeeper:
    """A training monitor that writes a sheet of what it is shown, and passes it on.

    Args:
        monitor: the one that judges.
        classes: class names.
        places: folders that sheets are written into.
    """

    def __init__(self, monitor: Monitor, *, classes: Sequence[str], places: Sequence[Path]) -> None:
        self._monitor, self._classes, self._places = monitor, classes, tuple(places)

    def __call__(self, step: int, samples: ImageBatch) -> MonitorReading:
        """Write the sheet of a step, and judge."""
        reading = self._monitor(step, samples)
        data = sheet_of(samples, self._classes, title=f"step {step:,}, copying {reading.value:.2f}")
        for place in self._places:
            place.mkdir(parents=True, exist_ok=True)
            write_bytes_atomic(place / f"step-{step:07d}.png", data, durable=False)
            _thin_out(place)
        return reading


def sheet_of(samples: ImageBatch, classes: Sequence[str], *, title: str) -> bytes:
    """PNG of at most 12 classes, 8 images each."""
    shown: dict[str, list[UInt8]] = {}
    for image, label in zip(samples.pixels, samples.labels.tolist(), strict=True):
        if len(shown) < MOST_CLASSES or classes[label] in shown:
            row = shown.setdefault(classes[label], [])
            if len(row) < SHEET_COLUMNS:
                row.append(image)
    return synthetic_png(contact_sheet(dict(sorted(shown.items())), title=title))


def copy_sheets(source: Path, target: Path) -> None:
    """Copy the sheets of a fit, if it has any."""
    for path in sorted(source.glob("step-*.png")):
        target.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / path.name)


def _thin_out(place: Path) -> None:
    found = sorted(place.glob("step-*.png"))
    if len(found) > MOST_SHEETS:
        for path in found[:-1:2]:
            path.unlink()
