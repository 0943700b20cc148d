"""The words that a tokenizer reads texts with. No torch here."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from synthlift.errors import InputError
from synthlift.weights.files import read_json

SETTINGS = "tokenizer_config.json"
WHOLE = ("tokenizer.json", "tekken.json", "vocab.txt", "*.model")
"""Any of these is enough: a whole tokenizer, words of BERT, pieces of sentencepiece."""
PAIR = ("vocab.json", "merges.txt")
"""Words of a tokenizer that joins pairs, and the pairs; one is of no use without the other."""
OF_BYTES = ("ByT5", "Canine", "Perceiver")
"""How the classes of tokenizers begin that have no words, since they read letters as numbers."""
VOCABULARY = (
    "tokenizer.json; or vocab.json with merges.txt; or vocab.txt; or a file that ends in .model"
)
"""The files, for people."""


def holds_vocabulary(folder: Path) -> bool:
    """Whether a tokenizer in a folder knows words, or needs none.

    Without, transformers makes one that takes all texts for the same.
    """
    if any(True for pattern in WHOLE for _ in folder.glob(pattern)):
        return True
    named = str(read_json(folder / SETTINGS).get("tokenizer_class", ""))
    return all((folder / name).is_file() for name in PAIR) or named.startswith(OF_BYTES)


def require_vocabulary(folder: Path) -> None:
    """Refuse a checkpoint without the words of its tokenizer: all texts were the same to it.

    Raises:
        InputError: see above.
    """
    if not holds_vocabulary(folder):
        raise InputError(
            f"the CLIP checkpoint '{folder}' has no tokenizer",
            rule=f"beside the weights lies what texts are read with: {VOCABULARY}",
            remedy="download these files and tokenizer_config.json into the folder, too; or, where "
            "transformers has the tokenizer: tokenizer.save_pretrained(FOLDER)",
        )


@contextlib.contextmanager
def reading_tokenizer(folder: Path) -> Iterator[None]:
    """Say in words what goes wrong while the tokenizer in a folder is read.

    Raises:
        InputError: it cannot be read.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # Packages that read tokenizers raise what they please.
        raise InputError(
            f"the tokenizer in '{folder}' cannot be read: {error}",
            rule="the files are those that transformers saves of a tokenizer",
            remedy="download them again",
        ) from None


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer that transformers saved in a folder.

    Raises:
        InputError: it cannot be read.
    """
    from transformers import AutoTokenizer

    with reading_tokenizer(folder):
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)


def differ(texts: Sequence[str], others: Sequence[str]) -> bool:
    """Whether texts differ in more than capitals, accents and spaces.

    These are nothing to many tokenizers, as their makers meant it.
    """
    return [_plain(text) for text in texts] != [_plain(text) for text in others]


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(one for one in apart if not unicodedata.combining(one)).split())
