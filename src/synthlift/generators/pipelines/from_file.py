"""Opening a pipeline of diffusers whose network lies in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from synthlift.generators.pipelines.files import PipelineFiles
from synthlift.generators.pipelines.single_file import INDEX, holds_only_network, parts_beside
from synthlift.generators.pipelines.vocabularies import known_tokenizer, lacks_vocabulary
from synthlift.weights.copies import parts_of, pipeline_mark, variant_in
from synthlift.weights.files import read_json

NETWORKS = ("transformer", "unet")
READER = "from_single_file"


def pipeline_from_file(files: PipelineFiles, file: Path, *, dtype: torch.dtype) -> Any:
    """The pipeline of a file under the names of the original code, on the processor.

    What the file does not hold comes from the folder of settings.

    Args:
        files: with the folder of settings.
        file: of safetensors, with the whole pipeline or its network alone.
        dtype: of the weights.

    Raises:
        ValueError, OSError: the file and the settings do not belong together.
    """
    import diffusers

    index = read_json(files.folder / INDEX)
    name = str(index.get("_class_name", ""))
    kind: Any = getattr(diffusers, name, None)
    if kind is None:
        raise ValueError(f"diffusers has no '{name}'")
    spared = (
        *files.without,
        *(part.replace("text_encoder", "tokenizer") for part in files.without),
    )
    parts: dict[str, Any] = dict.fromkeys(spared)
    for part in index:
        place = files.folder / part
        if part.startswith("tokenizer") and part not in parts and lacks_vocabulary(place):
            parts[part] = known_tokenizer(place)
    try:
        if hasattr(kind, READER) and not holds_only_network(file):
            return _whole(kind, files.folder, file, dtype=dtype, parts=parts)
        return _network_alone(kind, files.folder, file, dtype=dtype, parts=parts)
    except (RuntimeError, KeyError, AttributeError, IndexError) as error:
        raise ValueError(f"the settings in '{files.folder}' do not fit it: {error}") from None


def _whole(
    kind: Any, folder: Path, file: Path, *, dtype: torch.dtype, parts: dict[str, Any]
) -> Any:
    """A pipeline whose class reads the file, with what lies beside it."""
    import transformers

    parts = parts | {
        part: _opened(folder, part, dtype=dtype) for part in parts_beside(file, folder)
    }
    pipeline = kind.from_single_file(
        str(file), config=str(folder), dtype=dtype, local_files_only=True, **parts
    )
    for network in pipeline.components.values():
        if isinstance(network, transformers.T5EncoderModel):
            _one_table(network)
    return pipeline


def _one_table(encoder: Any) -> None:
    # One table of words under two names, of which files hold one or both.
    encoder.set_input_embeddings(encoder.get_input_embeddings())


def _network_alone(
    kind: Any, folder: Path, file: Path, *, dtype: torch.dtype, parts: dict[str, Any]
) -> Any:
    """A pipeline whose network is in the file, and all else in the folder."""
    import diffusers

    index = read_json(folder / INDEX)
    part = next((one for one in NETWORKS if one in index), "")
    name = str(index[part][1]) if part else ""
    network: Any = getattr(diffusers, name, None)
    if not hasattr(network, READER):
        raise ValueError(f"diffusers reads no '{name or kind.__name__}' from one file")
    opened = network.from_single_file(
        str(file), config=str(folder), subfolder=part, dtype=dtype, local_files_only=True
    )
    parts = {**parts, part: opened}
    return pipeline_from_folder(kind, folder, dtype=dtype, parts=parts)


def pipeline_from_folder(
    kind: Any, folder: Path, *, dtype: torch.dtype, parts: Mapping[str, Any]
) -> Any:
    """The pipeline of a folder, on the processor; of parts that are there rounded alone, these.

    Args:
        kind: class of diffusers that opens it.
        folder: as diffusers saves it.
        dtype: of the weights.
        parts: that it gets beside its own, or in their place.

    Raises:
        ValueError, OSError: the files are incomplete.
    """
    rounded = {
        part: _opened(folder, part, dtype=dtype)
        for part in parts_of(read_json(folder / INDEX))
        if part not in parts and variant_in(folder / part)
    }
    return kind.from_pretrained(
        folder, dtype=dtype, use_safetensors=True, local_files_only=True, **rounded, **parts
    )


def _opened(folder: Path, part: str, *, dtype: torch.dtype) -> Any:
    import diffusers
    import transformers

    library, name = read_json(folder / INDEX)[part]
    libraries = {"diffusers": diffusers, "transformers": transformers}
    home = libraries.get(library) or getattr(diffusers.pipelines, library)
    return getattr(home, name).from_pretrained(
        folder / part,
        dtype=dtype,
        variant=variant_in(folder / part, pipeline_mark(folder)),
        use_safetensors=True,
        local_files_only=True,
    )
