"""Runs whose generated images are being looked at: their tables stay open for a while."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from synthlift.api.generated_images import GeneratedImages
from synthlift.api.run_folder import Run
from synthlift.api.training_sets import VERDICTS
from synthlift.web.library import Finished

KEPT = 4


class Galleries:
    """Opens the generated images of runs, and keeps the last few tables."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[Path, float], GeneratedImages] = OrderedDict()

    def of(self, run: Finished) -> GeneratedImages:
        """The generated images of a run; read anew when its table was written anew."""
        table = run.path / VERDICTS
        key = run.path, table.stat().st_mtime if table.is_file() else 0.0
        with self._lock:
            if key not in self._open:
                self._open[key] = GeneratedImages(Run(run.path))
            self._open.move_to_end(key)
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
            return self._open[key]
