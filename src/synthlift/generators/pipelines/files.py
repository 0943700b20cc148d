"""The files of a pipeline, and the hash that stands for them. No torch here."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from synthlift.errors import InputError

INDEX, CONFIG = "model_index.json", "config.json"


def hash_pipeline(folder: Path) -> str:
    """SHA-256 (hex) over names and contents of a pipeline's files.

    Raises:
        InputError: there is no such folder, or it holds no pipeline.
    """
    if not (folder / INDEX).is_file():
        what = "holds no pipeline" if folder.is_dir() else "does not exist"
        raise InputError(
            f"the text-to-image model '{folder}' {what}",
            rule=f"'model' is a local folder with {INDEX}, as diffusers saves it; nothing is "
            "downloaded",
            remedy="give the folder of a downloaded pipeline",
        )
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
    if not (folder / CONFIG).is_file():
        state = "holds no model" if folder.is_dir() else "does not exist"
        raise InputError(
            f"the {what} '{folder}' {state}",
            rule=f"'{setting}' is a local folder with {CONFIG}, as diffusers saves it; nothing is "
            "downloaded",
            remedy=f"give the folder of a downloaded {what}",
        )
    return _hash_weights(folder, what=f"the {what} '{folder}'")


def _hash_weights(folder: Path, *, what: str) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    kept = [path for path in files if path.suffix in (".safetensors", ".json", ".txt", ".model")]
    if not any(path.suffix == ".safetensors" for path in kept):
        raise InputError(
            f"{what} has no weights in safetensors",
            rule="weights are read as safetensors only: other formats can run code when loaded",
            remedy="download the safetensors variant, or convert the weights",
        )
    facts = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in kept)
    return _hash_files(folder, facts)


@functools.lru_cache(maxsize=16)
def _hash_files(folder: Path, facts: tuple[tuple[Path, int, int], ...]) -> str:
    whole = hashlib.sha256()
    for path, *_ in facts:
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return whole.hexdigest()
