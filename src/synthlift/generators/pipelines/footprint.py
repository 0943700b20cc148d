"""How much of a device's memory a worker takes that draws with a pipeline. No torch here.

An estimate from headers and settings, so that a study can be planned where nothing is opened:
weights are counted, and what is computed is that of the decoder's last level, which is the widest
by far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from synthlift.generators.pipelines.files import PipelineFiles
from synthlift.generators.pipelines.single_file import parts_beside
from synthlift.generators.pipelines.suited import native_side
from synthlift.weights.copies import opened_weights
from synthlift.weights.files import read_json, tensor_shapes

NUMBER_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
HELD = 4
"""Tensors of the decoder's last level that are there at a time: an input, its normalised form, a
convolution's output, and the columns that it is computed from."""
USUAL_SIDE, USUAL_CHANNELS = 1024, 256
"""Where the files do not tell."""


def pipeline_bytes(
    files: PipelineFiles,
    *,
    beside: Sequence[Path] = (),
    dtype: str,
    micro_batch: int,
    side: int | None,
) -> int:
    """Bytes of weights, and of what is computed of one chunk.

    Args:
        files: of the pipeline.
        beside: files or folders of further weights.
        dtype: number format of the network.
        micro_batch: images computed together.
        side: in pixels at which it draws; None = its own.
    """
    own = [files.folder]
    if files.single is not None:
        parts = parts_beside(files.single, files.folder)
        own = [files.single, *(files.folder / part for part in parts)]
    places = [*own, *beside]
    weights = sum(count_weights(place) for place in places)
    pixels = (side or native_side(files.folder) or USUAL_SIDE) ** 2
    computed = micro_batch * pixels * _channels(files.folder) * HELD
    return (weights + computed) * NUMBER_BYTES[dtype]


def count_weights(place: Path) -> int:
    """Numbers in a file of safetensors, or in those of a folder that diffusers opens."""
    opened = opened_weights(place)
    shapes = [shape for path in opened for shape in tensor_shapes(path).values()]
    return sum(math.prod(shape) for shape in shapes)


def _channels(folder: Path) -> int:
    """Channels that enter the last level of the decoder."""
    decoder = read_json(folder / "vae" / "config.json")
    levels = decoder.get("block_out_channels") or decoder.get("decoder_block_out_channels") or []
    return int(levels[1] if len(levels) > 1 else (levels or [USUAL_CHANNELS])[0])
