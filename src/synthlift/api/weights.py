"""``models list``, ``check`` and ``add``: weights that others have trained, by name and hash."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthlift.errors import InputError
from synthlift.weights import Entry, Shelf
from synthlift.weights.copies import INDEX, STATE, opened_weights, pickled_parts, training_state
from synthlift.weights.files import HASHED, read_json
from synthlift.weights.hub import PREFIX, fetch
from synthlift.weights.recognising import LICENCE_FILES, remark_on
from synthlift.weights.shelf import require_name

RENAMED = re.compile(r"^pytorch_model(?=[-.]|$)")
"""How transformers' pickled files begin; the others begin with the last word."""
SHARDS = re.compile(r"\.bin\.index\.(?=(\w+\.)?json$)")
"""In names of settings that say which tensor is in which pickled file."""


def models() -> list[dict[str, Any]]:
    """What is on the shelf: a row for each :class:`synthlift.weights.Entry`."""
    return [asdict(entry) for entry in Shelf().entries().values()]


def check_models(*names: str) -> list[dict[str, Any]]:
    """The same, hashed again, with ``state``: ok, missing or changed.

    Args:
        names: those to look at; none = all.

    Raises:
        InputError: a name that is not known.
    """
    return [{**asdict(entry), "state": state} for entry, state in Shelf().check(names)]


def add_model(
    source: str | Path,
    *,
    name: str = "",
    allow_pickle: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Entry:
    """Give weights a name that study files may use; a folder or file stays where it is.

    Args:
        source: folder, file, or ``hf:OWNER/NAME[/FILE.safetensors][@REVISION]``, which is fetched
            unless the Hub's local cache has it.
        name: by default that of the folder, file or model.
        allow_pickle: read weights that are there in a pickled format alone, in any part of a
            pipeline, and write all beside the shelf as safetensors. Such files can run any code
            when they are read.
        note: is told what was left out, in words.

    Raises:
        InputError: nothing of use is there, the name is taken, or the weights are pickled.
    """
    said, shelf = str(source), Shelf()
    revision, place = "", Path(said).expanduser()
    if said.startswith(PREFIX):
        fetched = fetch(said, pickles=allow_pickle)
        place, revision = fetched.place, fetched.revision
        name = name or said.removeprefix(PREFIX).partition("@")[0].rpartition("/")[2]
        name = name.removesuffix(".safetensors")
    if place.exists() and (pickled := pickled_parts(place)):
        if not allow_pickle:
            parts = f" of its {', '.join(pickled)}" if any(pickled) else ""
            first = next(iter(pickled.values()))[0]
            raise InputError(
                f"the weights{parts} in '{said}' are pickled: {first.name}",
                rule="weights are read as safetensors only: other formats can run code when loaded",
                remedy="take the safetensors variant; or, if you trust whoever made them: "
                f"synthlift models add {shlex.quote(said)} --allow-pickle",
            )
        called = require_name(name or place.stem)
        shelf.converted.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=shelf.converted) as draft:
            written = convert(place, Path(draft) / "weights")
            if place.is_dir() and (state := training_state(place)):
                named = ", ".join(dict.fromkeys(path.name for path in state))
                note(f"left out, being what a training goes on from and no weights: {named}")
            return shelf.take(
                written, Path(draft) / "weights", name=called, source=said, revision=revision
            )
    return shelf.add(place, name=name, source=said if revision else "", revision=revision)


def remark_on_model(entry: Entry) -> str:
    """Why no study can use weights on the shelf as they are, in words; "" = it can.

    Args:
        entry: of :func:`models` or :func:`add_model`.
    """
    from synthlift.generators.pipelines.files import pipeline_files, require_parts
    from synthlift.vision.clip.files import find_clip

    try:
        if entry.kind == "pipeline":
            require_parts(pipeline_files(entry.path))
        elif entry.kind == "clip":
            find_clip(Path(entry.path))
    except InputError as error:
        return f"No study can use it yet: {error.given}; {error.remedy}."
    return remark_on(entry.kind, entry.architecture)


def convert(place: Path, target: Path) -> Path:
    """Write pickled weights as safetensors; settings, vocabularies and safetensors are copied.

    Args:
        place: a folder as diffusers or transformers saves it, or one file.
        target: the folder that is made.

    Returns:
        ``target``, or the one file in it.
    """
    root = place.parent if place.is_file() else place
    pickled = [path for files in pickled_parts(place).values() for path in files]
    for path in pickled:
        written = (target / path.relative_to(root)).with_name(f"{_safe(path.stem)}.safetensors")
        written.parent.mkdir(parents=True, exist_ok=True)
        _write_tensors(_read_pickle(path), written)
    if place.is_file():
        return target / f"{_safe(place.stem)}.safetensors"
    for path in _kept(place):
        copy = target / path.relative_to(place)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        if SHARDS.search(path.name) and any(path.parent == one.parent for one in pickled):
            _rename_shards(copy)
    return target


def _kept(place: Path) -> Iterator[Path]:
    """Files of a folder that are copied; of a pipeline only those weights that are opened."""
    pipeline = (place / INDEX).is_file()
    opened = set(opened_weights(place))
    for path in place.rglob("*"):
        licence = path.name.upper().startswith(LICENCE_FILES)
        wanted = (path.suffix in (*HASHED, ".md") or licence) and not STATE.fullmatch(path.name)
        if pipeline and path.suffix == ".safetensors":
            wanted = path in opened
        if wanted and path.is_file():
            yield path


def _safe(stem: str) -> str:
    return RENAMED.sub("model", stem)


def _rename_shards(told: Path) -> None:
    """Let settings that say which tensor is in which file name the files that were written."""
    content = read_json(told)
    shards = {
        tensor: f"{_safe(name.removesuffix('.bin'))}.safetensors"
        for tensor, name in content.get("weight_map", {}).items()
    }
    told.unlink()
    written = told.with_name(_safe(SHARDS.sub(".safetensors.index.", told.name)))
    written.write_text(json.dumps({**content, "weight_map": shards}), encoding="utf-8")


def _read_pickle(path: Path) -> Mapping[str, Any]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # anything but tensors: the user has said that it may run
        try:
            found = torch.load(path, map_location="cpu", weights_only=False)
        except Exception as error:
            raise InputError(
                f"'{path}' cannot be read: {str(error).splitlines()[0]}",
                rule="pickled weights are what torch.save wrote",
                remedy="download the file again",
            ) from error
    state = found.get("state_dict", found) if isinstance(found, Mapping) else {}
    tensors = {str(k): v for k, v in state.items() if isinstance(v, torch.Tensor)}
    if not tensors:
        raise InputError(
            f"'{path}' holds no tensors by name",
            rule="weights are a dictionary of tensors",
            remedy="give the file that holds the model's state_dict",
        )
    return tensors


def _write_tensors(tensors: Mapping[str, Any], path: Path) -> None:
    from safetensors.torch import save_file

    # Tensors that share memory would be refused: each gets its own.
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, path)
