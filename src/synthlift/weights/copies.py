"""Which files of weights are opened where several copies of the same weights lie side by side.

Published pipelines hold their weights up to six times: rounded (``fp16``), without averaging
(``non_ema``), pickled, and whole in one file beside the folders of the parts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

from synthlift.weights.files import pickles_of, read_json

INDEX = "model_index.json"
"""Names the parts of a pipeline."""
DESCRIBED = ("config.json", "open_clip_config.json")
"""Names of settings beside which a model has its weights."""
SAFE, PICKLED = ".safetensors", ".bin"
"""Formats in which diffusers and transformers look for weights."""
NAMED = re.compile(
    r"(?:diffusion_pytorch_|pytorch_)?model(?:-\d+-of-\d+)?(?:\.(\w+))?(?:-\d+-of-\d+)?"
)
"""Names, without the ending, under which they look for them, and the mark of a copy."""
STATE = re.compile(
    r"(?:training_args|optimizer|scheduler|scaler|sampler|rng_state(?:_\d+)?|random_states_\d+)"
    r"\.(?:bin|pt|pth|pkl)"
)
"""Names under which transformers and accelerate keep what a training goes on from."""
SHARD = re.compile(r"-\d+-of-(\d+)")
"""In names of weights that are in several files."""
PREFERRED = ("", "fp16", "bf16")
"""Marks in the order in which one is taken: first of all none."""
WEIGHTLESS = ("Tokenizer", "TokenizerFast", "Scheduler", "Processor", "Extractor")
"""How the classes of those parts end that have no weights."""
File = TypeVar("File", bound=PurePath)


def every_part(index: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Parts of a pipeline that are there, each with its library and its class.

    Settings of a pipeline stand beside them, some as a list (Krea 2).

    Args:
        index: content of ``model_index.json``.
    """
    return {
        part: (kind[0], kind[1])
        for part, kind in index.items()
        if isinstance(kind, list) and len(kind) == 2 and all(isinstance(one, str) for one in kind)
    }


def parts_of(index: Mapping[str, Any]) -> list[str]:
    """Parts of a pipeline that have weights.

    Args:
        index: content of ``model_index.json``.
    """
    parts = every_part(index).items()
    return [part for part, (_, kind) in parts if not kind.endswith(WEIGHTLESS)]


def weights_in(files: Iterable[File], ending: str = SAFE, *, mark: str | None = "") -> list[File]:
    """Those files of a folder that hold its weights: one copy, the plain one if there is one.

    Args:
        files: of the folder.
        ending: of their names.
        mark: of the copy that is taken first where there is no plain one.
    """
    found = [file for file in sorted(files) if file.suffix == ending]
    if ending == PICKLED:  # optimizers, and weights for other programs, end so, too
        found = [file for file in found if NAMED.fullmatch(file.stem)]
    marks = {mark_of(file) for file in found}
    rounded = mark if mark in marks else min(marks, key=_rank, default="")
    taken = "" if "" in marks else rounded
    return [file for file in found if mark_of(file) == taken]


def opened_weights(place: Path) -> list[Path]:
    """The files of weights that are opened: the file itself, or those in a pipeline's parts.

    Args:
        place: a file; a pipeline; or another folder, of which one copy in each folder is meant.
    """
    if place.is_file():
        return [place]
    if index := read_json(place / INDEX):
        folders, mark = [place / part for part in parts_of(index)], pipeline_mark(place)
    else:
        folders, mark = sorted({path.parent for path in place.rglob(f"*{SAFE}")}), ""
    return [file for folder in folders for file in weights_in(folder.glob("*"), mark=mark)]


def variant_in(folder: Path, mark: str | None = "") -> str | None:
    """What diffusers and transformers call the copy that is opened in a folder; None = plain.

    Args:
        folder: of one model.
        mark: of the copy that is taken first where there is no plain one.
    """
    return next((mark_of(file) for file in weights_in(folder.glob("*"), mark=mark)), "") or None


def pipeline_mark(folder: Path) -> str | None:
    """The mark of the copy by which a pipeline's parts are opened that have it; see below."""
    return common_mark((folder / part).glob("*") for part in parts_of(read_json(folder / INDEX)))


def common_mark(parts: Iterable[Iterable[PurePath]]) -> str | None:
    """A mark that all parts without a plain copy of their weights have.

    Args:
        parts: the files of each.

    Returns:
        "" where none is needed, None where they have none in common.
    """
    marks = [{mark_of(file) for file in files if file.suffix == SAFE} for files in parts]
    needed = [one for one in marks if one and "" not in one]
    return min(set.intersection(*needed), key=_rank, default=None) if needed else ""


def mark_of(file: PurePath) -> str:
    """The mark of a copy of weights in its file's name, such as ``fp16``; "" = it has none."""
    named = NAMED.fullmatch(file.stem)
    return (named[1] if named else None) or ""


def training_state(place: Path) -> list[Path]:
    """Files of a folder that a training goes on from, and that hold no weights, in order."""
    return [path for path in sorted(place.rglob("*")) if STATE.fullmatch(path.name)]


def _rank(mark: str) -> tuple[int, str]:
    return PREFERRED.index(mark) if mark in PREFERRED else len(PREFERRED), mark


def shards_of(files: Iterable[Path]) -> set[str]:
    """Names of the files that a part's weights are in, if those that are there say how many.

    Args:
        files: of its weights.
    """
    found = set()
    for file in files:
        found.add(file.name)
        if of := SHARD.search(file.name):
            count = int(of[1])
            found |= {
                f"{file.name[: of.start()]}-{one:0{len(of[1])}d}-of-{of[1]}{file.name[of.end() :]}"
                for one in range(1, count + 1)
            }
    return found


def marks_in(folder: Path) -> set[str]:
    """Marks of the copies that a pipeline's parts are in."""
    return {mark for path in opened_weights(folder) if (mark := mark_of(path))}


def pickled_parts(place: Path) -> dict[str, list[Path]]:
    """Of each part whose weights are pickled alone, the files of them.

    Args:
        place: a pipeline, with its parts by name; or another folder or file, which is itself the
            one part ``""``.
    """
    if place.is_dir() and (index := read_json(place / INDEX)):
        held = {part: list((place / part).glob("*")) for part in parts_of(index)}
        pickled = {
            part: weights_in(files, PICKLED)
            for part, files in held.items()
            if not weights_in(files)
        }
        return {part: files for part, files in pickled.items() if files}
    found = pickles_of(place)
    if place.is_dir():
        found = [path for path in found if not STATE.fullmatch(path.name)]
        described = any((place / name).is_file() for name in DESCRIBED)
        own = described and any(path.parent == place for path in found)
        if any(place.glob(f"*{SAFE}") if own else place.rglob(f"*{SAFE}")):
            return {}
        found = [path for path in found if not any(path.parent.glob(f"*{SAFE}"))]
    return {"": found} if found else {}


def hollow_parts(folder: Path) -> list[str]:
    """Parts of a pipeline that have settings or pickled weights, and no safetensors.

    Args:
        folder: the pipeline; or one model, which is itself the one part ``""``.
    """
    index, pickled = read_json(folder / INDEX), pickled_parts(folder)
    bare = [
        part
        for part in (parts_of(index) if index else [""])
        if not any((folder / part).glob(f"*{SAFE}"))
    ]
    if not index:
        return bare
    return [one for one in bare if one in pickled or (folder / one / DESCRIBED[0]).is_file()]
