"""The files of a pipeline, and the hash that stands for them. No torch here."""

from __future__ import annotations

from pathlib import Path

from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.errors import InputError
from synthlift.weights import hash_weights_of, locate
from synthlift.weights.recognising import only_pickled

INDEX, CONFIG = "model_index.json", "config.json"


def pipeline_folder(model: str) -> Path:
    """The folder that a study's ``model`` stands for."""
    return embedded_model("text_to_image") if model == EMBEDDED else locate(model)


def hash_pipeline(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of a pipeline's files.

    Raises:
        InputError: there is no such folder, or it holds no pipeline.
    """
    _require(folder, INDEX, what="text-to-image model", holds="pipeline", setting="model")
    return _hash_weights(folder, what=f"the text-to-image model '{folder}'")


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
        raise InputError(
            f"the {what} '{folder}' {state}",
            rule=f"'{setting}' is a local folder with {index}, as diffusers saves it, a name from "
            "'synthlift models list', or hf:OWNER/NAME",
            remedy=f"give the folder of a downloaded {holds}",
        )


def _hash_weights(folder: Path, *, what: str) -> str:
    if not any(folder.rglob("*.safetensors")):
        pickled = only_pickled(folder)
        raise InputError(
            f"{what} has no weights in safetensors",
            rule="weights are read as safetensors only: other formats can run code when loaded",
            remedy="download the safetensors variant"
            + (
                f"; or, if you trust its maker: synthlift models add {folder} --allow-pickle"
                * pickled
            ),
        )
    return hash_weights_of(folder)
