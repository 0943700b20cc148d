"""A tokenizer of our own: every byte, and whole words as one token."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from transformers import CLIPTokenizer

from synthlift.drawings import BACKGROUNDS, COLOURS, SLANTS, THICKNESSES, WORDS

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 24
FILLING = "a an the of on in with and photo picture drawing image background , . - ' colour style"
CLOSE = "</w>"

Merge = tuple[str, str]


def save_tokenizer(folder: Path) -> CLIPTokenizer:
    """Write the tokenizer's files and open it."""
    names = [*WORDS, *COLOURS, *BACKGROUNDS, *SLANTS, *THICKNESSES]
    words = dict.fromkeys([*FILLING.split(), *(word for name in names for word in name.split())])
    merges = _merges(list(words))
    letters = list(_bytes())
    tokens = [*letters, *(letter + CLOSE for letter in letters), *("".join(m) for m in merges)]
    vocabulary = {token: index for index, token in enumerate([*tokens, START, END])}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), "utf-8")
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", "utf-8")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=LENGTH)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _bytes() -> Iterator[str]:
    """The characters that stand for the 256 bytes in tokenizers of this kind."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    yield from map(chr, plain)
    yield from (chr(256 + index) for index in range(256 - len(plain)))


def _merges(words: Sequence[str]) -> list[Merge]:
    """Merges that make each word one token.

    What a word's letters become by the merges so far is joined from left to right by new ones.
    They rank below all others, so that no earlier word comes out differently.
    """
    ranks: dict[Merge, int] = {}
    for word in words:
        pieces = _applied(ranks, [*word[:-1], word[-1] + CLOSE])
        while len(pieces) > 1:
            ranks[pieces[0], pieces[1]] = len(ranks)
            pieces = _applied(ranks, pieces)
    return list(ranks)


def _applied(ranks: dict[Merge, int], pieces: list[str]) -> list[str]:
    """Apply the merge of lowest rank until none is left."""
    while True:
        pairs = [pair for pair in itertools.pairwise(pieces) if pair in ranks]
        if not pairs:
            return pieces
        at = list(itertools.pairwise(pieces)).index(min(pairs, key=ranks.__getitem__))
        pieces = [*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]]
