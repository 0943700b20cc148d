"""The built-in examples: two small studies whose finished runs come with the package.

A server unpacks them when it first starts, and computes them itself when asked to, or where a run
that came with the package cannot be read.
"""

from __future__ import annotations

import functools
import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthlift.study.folder import RESULTS
from synthlift.study.ledger import Ledger
from synthlift.web import shipped
from synthlift.web.errors import MissingError
from synthlift.web.jobs.commands import study_file_command
from synthlift.web.jobs.table import Job
from synthlift.web.library import id_of
from synthlift.web.settings import Settings

if TYPE_CHECKING:
    from synthlift.web.context import Context

_SIDE, _GAP = 64, 4
_LOG = logging.getLogger("synthlift.web")


@dataclass(frozen=True)
class Example:
    """A built-in study.

    Attributes:
        name: of its file below ``studies`` and of its run folder.
        title: for people.
        words: what it shows, in plain words.
        source: its data set.
        shown: images of it that stand for it.
    """

    name: str
    title: str
    words: str
    source: str
    shown: tuple[str, ...]

    @property
    def file(self) -> Path:
        """Its study file."""
        return shipped.STUDIES / f"{self.name}.yaml"

    def folder(self, settings: Settings) -> Path:
        """The run folder of what is computed here."""
        return settings.own_runs / self.name

    def place(self, settings: Settings) -> Path:
        """Where the run that came with the package is unpacked."""
        return settings.examples_folder / self.name

    def run_ids(self, settings: Settings) -> tuple[str, str]:
        """Ids of the run that is computed here and of the one that came with the package."""
        shipped_run = self.place(settings) / shipped.RUN
        return id_of(self.folder(settings).resolve()), id_of(shipped_run.resolve())


EXAMPLES: dict[str, Example] = {
    one.name: one
    for one in (
        Example(
            "digits",
            "Handwritten digits",
            "Small scans of the digits 0 to 9. Some were made rare on purpose: 40 examples of a "
            "nought, 3 of a nine. Does it help to draw more nines?",
            "sklearn:digits",
            tuple(f"digits/{row:04d}" for row in range(10)),
        ),
        Example(
            "leaves",
            "Leaves",
            "Leaves of six trees, drawn by a program: many of the beech, few of the ginkgo, and "
            "some bare ground. Something is wrong with this collection. Can you find out what?",
            "embedded:leaves",
            tuple(
                f"leaves/{name}"
                for name in (
                    *("beech/000", "beech/004", "lime/000", "lime/004", "oak/002", "oak/001"),
                    *("maple/000", "maple/001", "willow/002", "ginkgo/004"),
                )
            ),
        ),
    )
}


def example(name: str) -> Example:
    """One example.

    Raises:
        MissingError: there is none of that name.
    """
    try:
        return EXAMPLES[name]
    except KeyError:
        raise MissingError(name) from None


def job_of(here: Context, one: Example) -> Job | None:
    """The job that makes it, the latest of several."""
    folder = one.folder(here.settings)
    return next((job for job in here.jobs.all() if job.folder == folder), None)


def shipped_facts(here: Context, run: str) -> shipped.Made | None:
    """What made a run, where it is one that came with the package."""
    for one in EXAMPLES.values():
        if one.run_ids(here.settings)[1] == run:
            return shipped.made(one.place(here.settings))
    return None


def begin(here: Context, one: Example) -> Job:
    """Compute an example here, or go on with it; one that is done stays as it is."""
    job = job_of(here, one)
    if job is None:
        folder = one.folder(here.settings)
        command = study_file_command(here.settings, file=one.file, out=folder)
        return here.jobs.add(kind="demo", title=one.title, command=command, folder=folder)
    here.jobs.resume(job.id)
    return here.jobs.get(job.id)


def prepare(here: Context) -> None:
    """Have the examples at hand: unpack what came with the package, else queue their studies.

    What was computed here stays, and a study that somebody stopped stays stopped. Before a run
    that came with the package is shown, the ledger says that its models saw their test set: another
    study of it is no first look. The same study, computed here, is none other to the ledger.
    """
    for one in EXAMPLES.values():
        folder = one.folder(here.settings)
        if (folder / RESULTS).is_file():
            continue
        if shipped.provide(shipped.archive_of(one.name), one.place(here.settings)):
            _note_openings(one)
            here.library.forget()
        elif job_of(here, one) is None and not folder.exists():
            begin(here, one)


def _note_openings(one: Example) -> None:
    try:
        Ledger().take_over(shipped.openings_of(one.name))
    except OSError:  # where it cannot be written, no study of this machine can open a test either
        _LOG.warning("the ledger of test openings cannot be written", exc_info=True)


@functools.lru_cache(maxsize=len(EXAMPLES))
def strip(name: str) -> bytes:
    """Some of an example's pictures side by side, as PNG."""
    import numpy as np
    from PIL import Image

    from synthlift.data.contract import Where
    from synthlift.data.sources import open_source

    one = EXAMPLES[name]
    source = open_source(Where(one.source, ""))
    width = len(one.shown) * (_SIDE + _GAP) - _GAP
    sheet = np.zeros((_SIDE, width, 4), np.uint8)
    for place, path in enumerate(one.shown):
        pixels = source.load(path, max_pixels=_SIDE**2).pixels
        factor = _SIDE // pixels.shape[0]
        large = np.repeat(np.repeat(pixels, factor, axis=0), factor, axis=1)
        left = place * (_SIDE + _GAP)
        sheet[:, left : left + _SIDE, :3] = large
        sheet[:, left : left + _SIDE, 3] = 255
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG")
    return stream.getvalue()
