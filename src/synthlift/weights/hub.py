"""Weights of the Hugging Face Hub, when a user names some: from its local cache, else fetched."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthlift.errors import InputError, installing

PREFIX = "hf:"
COMMIT = re.compile(r"[0-9a-f]{40}")
NAMED = re.compile(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
WANTED = ("*.safetensors", "*.json", "*.txt", "*.model", "README.md", "LICENSE*", "LICENCE*")
"""Pickled weights are never fetched, unless they are asked for."""
PICKLES = ("*.bin", "*.ckpt")


@dataclass(frozen=True)
class Fetched:
    """What the Hub gave: the folder, and the commit that it is the state of."""

    folder: Path
    revision: str


def fetch(said: str, *, pickles: bool = False) -> Fetched:
    """Weights by their name on the Hub, ``hf:OWNER/NAME`` or ``hf:OWNER/NAME@REVISION``.

    Args:
        said: the name.
        pickles: fetch pickled weights, too.

    Raises:
        InputError: the name has another form; the package that asks the Hub is missing; the Hub
            knows no such model or revision, wants an agreement first, or cannot be reached.
    """
    named = NAMED.fullmatch(said)
    if not named:
        raise InputError(
            f"'{said}' as a model of the Hub",
            rule="a model of the Hub is written hf:OWNER/NAME, or hf:OWNER/NAME@REVISION",
            remedy="correct it, or give the path of a local folder",
        )
    name, revision = named.groups()
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise InputError(
            f"'{said}' needs a package that is not installed: huggingface_hub",
            rule="models of the Hub are fetched by huggingface_hub",
            remedy=f"{installing('text2image')}; or give the path of a local folder",
        ) from None
    asked: dict[str, Any] = {
        "repo_id": name,
        "revision": revision,
        "allow_patterns": [*WANTED, *(PICKLES if pickles else ())],
    }
    try:
        found = snapshot_download(**asked, local_files_only=True)
    except Exception:  # not there, or not whole: it is asked for
        with _explained(said):
            found = snapshot_download(**asked)
    folder = Path(found)
    return Fetched(folder, revision=folder.name)


def revision_of(folder: Path) -> str:
    """The commit that a folder in the Hub's cache is the state of; "" for any other folder."""
    return (
        folder.name if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name) else ""
    )


def name_of(folder: Path) -> str:
    """``hf:OWNER/NAME`` of a folder in the Hub's cache; "" for any other folder."""
    owner, _, name = folder.parent.parent.name.removeprefix("models--").partition("--")
    return f"{PREFIX}{owner}/{name}" if revision_of(folder) and name else ""


@contextmanager
def _explained(said: str) -> Iterator[None]:
    """Turn what the Hub answers into what a user can do about it."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise InputError(
            f"the model '{said}' is gated",
            rule="its owner gives it to those who have agreed to its terms",
            remedy="agree on its page, log in with 'hf auth login', and try again",
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
