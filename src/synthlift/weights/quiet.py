"""Libraries that open weights and read texts, without what they say of it beside what we say."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@contextlib.contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Without bars and warnings of these libraries of Hugging Face; afterwards as before.

    They warn of missing weights, of texts that are cut and of small ones: that is told otherwise,
    once, and to those who can mend it.

    Args:
        libraries: diffusers or transformers, installed.
    """
    chatty = {name: importlib.import_module(f"{name}.utils.logging") for name in libraries}
    for name, logging in chatty.items():
        _hush(name, logging)
    try:
        yield
    finally:
        for name, logging in chatty.items():
            _let_speak(name, logging)


@dataclass
class _Hushed:
    """A library that is quiet: how it was before, and how many want it so."""

    verbosity: int
    bars: bool
    wanted: int = 1


_hushed: dict[str, _Hushed] = {}
_lock = threading.Lock()
"""Threads may overlap: the first one notes how a library was, the last one leaves it so."""


def _hush(name: str, logging: Any) -> None:
    with _lock:
        if name in _hushed:
            _hushed[name].wanted += 1
            return
        _hushed[name] = _Hushed(logging.get_verbosity(), logging.is_progress_bar_enabled())
        logging.disable_progress_bar()
        logging.set_verbosity_error()


def _let_speak(name: str, logging: Any) -> None:
    with _lock:
        before = _hushed[name]
        before.wanted -= 1
        if before.wanted:
            return
        del _hushed[name]
        logging.set_verbosity(before.verbosity)
        if before.bars:
            logging.enable_progress_bar()
