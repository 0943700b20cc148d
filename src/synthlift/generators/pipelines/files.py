"""The files of a pipeline, and the hash that stands for them. No torch here."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.errors import InputError
from synthlift.generators.pipelines.single_file import INDEX, layout_of, parts_without
from synthlift.generators.pipelines.vocabularies import is_known, lacks_vocabulary
from synthlift.weights import hash_weights_of, locate
from synthlift.weights.copies import (
    every_part,
    hollow_parts,
    marks_in,
    pickled_parts,
    pipeline_mark,
)
from synthlift.weights.files import read_json
from synthlift.weights.hub import name_of
from synthlift.weights.vocabulary import VOCABULARY

SINGLE = ".safetensors"
CONFIG = "config.json"


@dataclass(frozen=True)
class PipelineFiles:
    """Where a pipeline lies.

    Attributes:
        folder: with its settings; and with its weights, where they are in no single file.
        single: the file with its weights, or those of its network, or None.
        without: parts that neither holds, and that the pipeline draws without.
    """

    folder: Path
    single: Path | None = None
    without: tuple[str, ...] = ()

    @property
    def named(self) -> Path:
        """What the user named; its name may tell what the model was made for."""
        return self.single or self.folder


def pipeline_files(model: str, config: str = "") -> PipelineFiles:
    """What a study's ``model``, and its ``config`` if need be, stand for.

    Raises:
        InputError: ``config`` goes with a folder of a pipeline; or the settings of a single file
            are not known, or parts of it are nowhere.
    """
    place = embedded_model("text_to_image") if model == EMBEDDED else locate(model)
    if not (place.is_file() and place.suffix == SINGLE):
        if config:
            raise InputError(
                f"'config' beside the text-to-image model '{model}'",
                rule="'config' is a folder with the settings of a pipeline in one file of "
                "safetensors; a pipeline in a folder has its own",
                remedy="remove 'config', or give the file as 'model'",
            )
        return PipelineFiles(place)
    folder = locate(config) if config else layout_of(place)
    known = (folder / INDEX).is_file()
    return PipelineFiles(folder, place, parts_without(place, folder) if known else ())


def hash_pipeline(files: PipelineFiles) -> str:
    """SHA-256 (hex) over names and contents of a pipeline's files.

    Raises:
        InputError: there is no such folder, or it holds no pipeline, or not all of one.
    """
    setting = "model" if files.single is None else "config"
    _require(files.folder, INDEX, what="text-to-image model", holds="pipeline", setting=setting)
    require_parts(files)
    if files.single is None:
        return _hash_weights(files.folder, what=f"the text-to-image model '{files.folder}'")
    both = f"{hash_weights_of(files.single)} {hash_weights_of(files.folder)}"
    return hashlib.sha256(both.encode()).hexdigest()


def hash_part(folder: Path, *, what: str, setting: str) -> str:
    """SHA-256 (hex) over the files of a part that is told beside a pipeline, such as a ControlNet.

    Args:
        folder: as diffusers saves a model.
        what: its name, for people.
        setting: the key that names the folder.

    Raises:
        InputError: there is no such folder, or it holds no model.
    """
    _require(folder, CONFIG, what=what, holds="model", setting=setting)
    return _hash_weights(folder, what=f"the {what} '{folder}'")


def _require(folder: Path, index: str, *, what: str, holds: str, setting: str) -> None:
    if not (folder / index).is_file():
        state = f"holds no {holds}" if folder.is_dir() else "does not exist"
        state = "is a file of another format" if folder.is_file() else state
        raise InputError(
            f"the {what} '{folder}' {state}",
            rule=f"'{setting}' is a local folder with {index}, as diffusers saves it, a name from "
            "'synthlift models list', or hf:OWNER/NAME"
            + (", or one file of safetensors" if setting == "model" else ""),
            remedy=f"give the folder of a downloaded {holds}",
        )


def require_parts(files: PipelineFiles) -> None:
    """Refuse a pipeline of which whole parts are missing; of a single file, only words can be.

    Raises:
        InputError: see above.
    """
    named = [
        name
        for name in every_part(read_json(files.folder / INDEX))
        if (files.single is None or name.startswith("tokenizer"))
        and name.replace("tokenizer", "text_encoder") not in files.without
    ]
    missing = [name for name in named if not (files.folder / name).is_dir()]
    if missing:
        raise InputError(
            f"the text-to-image model '{files.folder}' lacks {', '.join(missing)}",
            rule=f"a folder lies in it for each part that {INDEX} names: {', '.join(named)}",
            remedy="download or copy it again, all of it",
        )
    _require_words(files, [name for name in named if name.startswith("tokenizer")])


def _require_words(files: PipelineFiles, tokenizers: Sequence[str]) -> None:
    """Refuse tokenizers without a vocabulary, to which all prompts would be the same."""
    wordless = [
        name
        for name in tokenizers
        if lacks_vocabulary(files.folder / name)
        and (files.single is None or not is_known(files.folder / name))
    ]
    if wordless:
        raise InputError(
            f"the text-to-image model '{files.folder}' has no vocabulary in {', '.join(wordless)}",
            rule=f"in the folder of a tokenizer lies what prompts are read with: {VOCABULARY}",
            remedy="download or copy these folders again, with all of their files",
        )


def _hash_weights(folder: Path, *, what: str) -> str:
    if hollow := hollow_parts(folder):
        of_parts = f" for its {', '.join(hollow)}" if any(hollow) else ""
        trusted = f"synthlift models add {name_of(folder) or folder} --allow-pickle"
        pickled = set(hollow) & {*pickled_parts(folder)}
        # What the Hub has pickled alone is not fetched, so that the folder does not tell.
        either = f"; or, if you trust its maker: {trusted}" if pickled or name_of(folder) else ""
        raise InputError(
            f"{what} has no weights in safetensors{of_parts}",
            rule="weights are read as safetensors only: other formats can run code when loaded",
            remedy=f"download the safetensors variant{either}",
        )
    if pipeline_mark(folder) is None:
        raise InputError(
            f"{what} has weights of different kinds: {', '.join(sorted(marks_in(folder)))}",
            rule="the parts are plain, or of one kind that a mark in their files' names tells",
            remedy="download the plain files, or those of one kind for all parts",
        )
    return hash_weights_of(folder)
