"""Libraries that open weights and read texts, without what they say of it beside what we say."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Without bars and warnings of these libraries of Hugging Face; afterwards as before.

    They warn of missing weights, of texts that are cut and of small ones: that is told otherwise,
    once, and to those who can mend it.

    Args:
        libraries: diffusers or transformers, installed.
    """
    chatty: list[Any] = [importlib.import_module(f"{name}.utils.logging") for name in libraries]
    before = [(one.get_verbosity(), one.is_progress_bar_enabled()) for one in chatty]
    for one in chatty:
        one.disable_progress_bar()
        one.set_verbosity_error()
    try:
        yield
    finally:
        for one, (verbosity, bars) in zip(chatty, before, strict=True):
            one.set_verbosity(verbosity)
            if bars:
                one.enable_progress_bar()
