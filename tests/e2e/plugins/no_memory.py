"""No component: it makes workers behave as if no set of images fitted into their memory."""

from __future__ import annotations

import multiprocessing

from synthlift import rows
from synthlift.generators.flow import batches
from synthlift.store import pixel_files
from synthlift.training import images
from synthlift.vision import features, neighbours

if multiprocessing.parent_process() is not None:
    for module in (batches, images, features):
        vars(module)["IN_MEMORY_BYTES"] = 0
    pixel_files.LARGE_BYTES = 0
    neighbours.BLOCK_BYTES = 2**17
    rows.BLOCK_BYTES = 2**10

SYNTHLIFT: dict[str, list[object]] = {"filters": []}
