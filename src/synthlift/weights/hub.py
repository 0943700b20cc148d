"""Weights of the Hugging Face Hub, when a user names some: from its local cache, else fetched."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from synthlift.errors import InputError, installing
from synthlift.weights.copies import (
    INDEX,
    PICKLED,
    SAFE,
    common_mark,
    mark_of,
    parts_of,
    pipeline_mark,
    shards_of,
    weights_in,
)
from synthlift.weights.files import read_json

PREFIX = "hf:"
COMMIT = re.compile(r"[0-9a-f]{40}")
NAMED = re.compile(
    r"hf:([\w.-]+/[\w.-]+)(?:/((?:[\w. -]+/)*[\w. -]+\.safetensors))?(?:@([\w./-]+))?"
)
FORMS = "hf:OWNER/NAME, or hf:OWNER/NAME/FILE.safetensors for one file; @REVISION may follow"
TERMS = ("README.md", "LICENSE*", "LICENCE*")
SETTINGS = ("*.json", "*.txt", "*.model", *TERMS)
TEMPLATES = ("*.jinja",)
"""How a tokenizer turns a prompt into a question; older versions of this package left them out."""
TEMPLATED = ("ZImage", "Flux2", "Ovis", "GlmImage", "NucleusMoE", "Ideogram4", "QwenImage21")
"""How the classes of pipelines begin that draw nothing without."""
WEIGHTS = ("*.safetensors",)
"""Pickled weights are never fetched, unless they are asked for."""
PICKLES = ("*.bin", "*.ckpt")
SHOWN = 5
SHARD = re.compile(r"-\d+-of-\d+\.")


@dataclass(frozen=True)
class Fetched:
    """What the Hub gave.

    Attributes:
        folder: of the model.
        revision: the commit that it is the state of.
        file: the one that was named; None = the whole is meant.
    """

    folder: Path
    revision: str
    file: Path | None = None

    @property
    def place(self) -> Path:
        """What is meant: a file, or the folder."""
        return self.file or self.folder


def fetch(said: str, *, pickles: bool = False) -> Fetched:
    """Weights by their name on the Hub: ``hf:OWNER/NAME[/FILE.safetensors][@REVISION]``.

    Args:
        said: the name.
        pickles: fetch pickled weights, too.

    Raises:
        InputError: the name has another form; the package that asks the Hub is missing; the Hub
            knows no such model, file or revision, has disabled it, wants an agreement first, or
            cannot be reached; parts of a pipeline are pickled, and that was not asked for; the
            model is several files of weights, of which one must be named.
    """
    named = NAMED.fullmatch(said)
    if not named:
        raise InputError(
            f"'{said}' as a model of the Hub",
            rule=f"a model of the Hub is written {FORMS}",
            remedy="correct it, or give the path of a local folder",
        )
    name, file, revision = named.groups()
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(
            f"'{said}' needs a package that is not installed: huggingface_hub",
            rule="models of the Hub are fetched by huggingface_hub",
            remedy=f"{installing('text2image')}; or give the path of a local folder",
        ) from None
    asked: dict[str, Any] = {"repo_id": name, "revision": revision}
    if file is not None:
        return _one_file(said, asked, file)
    found = _cached(asked, SETTINGS)
    if found is None or not _is_whole(found, asked, pickles=pickles):
        try:
            with _explained(said):
                wanted, pickled = _wanted(said, asked, pickles=pickles)
                if not pickled:
                    found = Path(snapshot_download(**asked, allow_patterns=wanted))
        except InputError:
            if found is None or _cached(asked, WEIGHTS) is None:
                raise
            # All that there is has come: whoever opens it says what it lacks.
            return Fetched(found, revision=found.name)
        if pickled:
            raise _pickled(said, pickled)
    assert found is not None
    return Fetched(found, revision=found.name)


def _one_file(said: str, asked: dict[str, Any], name: str) -> Fetched:
    """A file that is named, with what says on which terms it is given."""
    from huggingface_hub import hf_hub_download, snapshot_download

    beside = [*TERMS, *(f"{PurePosixPath(name).parent}/{one}" for one in TERMS)]
    folder = _cached(asked, [glob.escape(name), *beside])
    if folder is None or not (folder / name).is_file():
        with _explained(said):
            hf_hub_download(**asked, filename=name)
            folder = Path(snapshot_download(**asked, allow_patterns=[glob.escape(name), *beside]))
    return Fetched(folder, revision=folder.name, file=folder / name)


def _cached(asked: dict[str, Any], patterns: Sequence[str]) -> Path | None:
    """The folder in the local cache, unless it is known to lack files of these names."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(**asked, allow_patterns=list(patterns), local_files_only=True)
        )
    except Exception:  # not there, or not whole: it is asked for
        return None


def _is_whole(folder: Path, asked: dict[str, Any], *, pickles: bool) -> bool:
    """Whether a folder in the cache has weights; which ones another version may have chosen."""
    index = read_json(folder / INDEX)
    if not index:
        # Where one file was fetched by its name, the cache knows of the others that lack.
        safe = any(folder.rglob(WEIGHTS[0]))
        return _cached(asked, WEIGHTS if safe or not pickles else PICKLES) is not None
    templated = str(index.get("_class_name", "")).startswith(TEMPLATED)
    if templated and _cached(asked, TEMPLATES) is None:
        return False
    mark = pipeline_mark(folder)
    for place in (folder / part for part in parts_of(index)):
        files = list(place.glob("*"))
        found = weights_in(files, mark=mark) or (weights_in(files, PICKLED) if pickles else [])
        lacking = not found and (not files or (place / "config.json").is_file())
        if lacking or not all((place / name).is_file() for name in shards_of(found)):
            return False
    return True


def _wanted(said: str, asked: dict[str, Any], *, pickles: bool) -> tuple[list[str], list[str]]:
    """Patterns of the files that are fetched, and parts of a pipeline that cannot be.

    Of a pipeline they are the settings, and of each part one copy of its weights. All copies would
    be several times as much: rounded ones, those of other programs, and the whole in one file.
    """
    from huggingface_hub import HfApi, hf_hub_download

    told = HfApi().model_info(**asked)
    files = [PurePosixPath(one.rfilename) for one in told.siblings or ()]
    if PurePosixPath(INDEX) not in files:
        _require_one(said, files)
        safe = any(file.suffix == SAFE for file in files)
        return [*SETTINGS, *TEMPLATES, *WEIGHTS, *(PICKLES if pickles and not safe else ())], []
    weights: list[PurePosixPath] = []
    pickled: list[str] = []
    parts = parts_of(read_json(Path(hf_hub_download(**asked, filename=INDEX))))
    held = {part: [file for file in files if str(file.parent) == part] for part in parts}
    mark = common_mark(held.values())
    for part, own in held.items():
        safe_ones, others = weights_in(own), weights_in(own, PICKLED)
        if any(mark_of(file) for file in safe_ones):  # there is no plain copy
            safe_ones = weights_in(own, mark=mark)
        weights += safe_ones or (others if pickles else [])
        pickled += [part] if others and not (safe_ones or pickles) else []
    chosen = [glob.escape(str(file)) for file in weights]
    return [*SETTINGS, *TEMPLATES, *chosen], pickled


def _require_one(said: str, files: Sequence[PurePosixPath]) -> None:
    """Refuse a collection of files, such as of LoRA: all of them might be very much."""
    outer = [file for file in files if len(file.parts) == 1]
    described = any(file.name.endswith("config.json") for file in outer)
    weights = [file for file in files if file.suffix == SAFE]
    held = [str(file) for file in sorted(weights, key=lambda file: (len(file.parts), file))]
    # Of a single one that is not in a folder, those within are stages of its training.
    one = sum(file.suffix == SAFE for file in outer) == 1 or len(held) < 2
    if described or one or any(SHARD.search(file) for file in held):
        return
    name, _, revision = said.partition("@")
    shown = ", ".join(held[:SHOWN]) + (", …" if len(held) > SHOWN else "")
    raise InputError(
        f"the model '{said}' is {len(held)} files of weights: {shown}",
        rule="where no settings say what belongs together, one file is meant",
        remedy=f"name it, such as {name}/{held[0]}" + (f"@{revision}" if revision else ""),
    )


def _pickled(said: str, parts: Sequence[str]) -> InputError:
    return InputError(
        f"the model '{said}' has no weights in safetensors for its {', '.join(parts)}",
        rule="weights are read as safetensors only: other formats can run code when loaded",
        remedy=f"take another model; or, if you trust its maker: synthlift models add {said} "
        "--allow-pickle",
    )


def snapshot_of(place: Path) -> Path | None:
    """The folder of the Hub's cache with a model's state that a place is in, or is."""
    for folder in (place, *place.parents):
        if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name):
            return folder
    return None


def revision_of(place: Path) -> str:
    """The commit that a folder or file in the Hub's cache is of; "" for any other."""
    whole = snapshot_of(place)
    return "" if whole is None else whole.name


def name_of(folder: Path) -> str:
    """``hf:OWNER/NAME`` of a folder in the Hub's cache; "" for any other folder."""
    owner, _, name = folder.parent.parent.name.removeprefix("models--").partition("--")
    return f"{PREFIX}{owner}/{name}" if snapshot_of(folder) == folder and name else ""


@contextmanager
def _explained(said: str) -> Iterator[None]:
    """Turn what the Hub answers into what a user can do about it."""
    from huggingface_hub import errors

    try:
        yield
    except InputError:
        raise
    except errors.GatedRepoError:
        raise InputError(
            f"the model '{said}' is gated",
            rule="its owner gives it to those who have agreed to its terms",
            remedy="agree on its page, log in with 'hf auth login', and try again",
        ) from None
    except errors.DisabledRepoError:
        raise InputError(
            f"the model '{said}' is disabled",
            rule="the Hub gives no model that its owner or the Hub itself has disabled",
            remedy="its page may say why: search the Hub for a copy, or give the folder of an "
            "earlier download",
        ) from None
    except errors.EntryNotFoundError:
        raise InputError(
            f"the model '{said}' has no such file",
            rule=f"a file of a model is written as its path there: {FORMS}",
            remedy="look at its list of files on the Hub",
        ) from None
    except errors.RevisionNotFoundError:
        raise InputError(
            f"the model '{said}' has no such revision",
            rule="what stands after '@' is a branch, a tag or a commit of it",
            remedy="look at its history on the Hub, or leave the revision out",
        ) from None
    except errors.RepositoryNotFoundError:
        raise InputError(
            f"the Hub gives no model '{said}'",
            rule="a model must exist under that name, and be public or yours",
            remedy="it may have been renamed or removed: search the Hub for a copy; give a local "
            "folder; log in with 'hf auth login' if it is private",
        ) from None
    except Exception as error:
        raise InputError(
            f"the model '{said}' cannot be fetched: {_first_line(error)}",
            rule="what is not in the local cache of the Hub needs the network",
            remedy="check the network (and HF_HUB_OFFLINE), or download the model elsewhere and "
            "give its folder",
        ) from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
