"""Libraries that draw say nothing of texts that are cut: warnings of ours do, once."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthlift.weights.quiet import quiet
from tests.unit.generators.test_text_to_image import draw, fitted

LONG = "a photo of the {label} in a wide field"


class Heard(logging.Handler):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.fixture
def heard() -> Iterator[Heard]:
    import diffusers.utils.logging as of_diffusers
    import transformers.utils.logging as of_transformers

    handler, libraries = Heard(), (of_diffusers, of_transformers)
    before = [one.get_verbosity() for one in libraries]
    for one in libraries:
        one.set_verbosity_warning()
        one.add_handler(handler)
    yield handler
    assert [one.get_verbosity() for one in libraries] == [logging.WARNING] * 2, "as before"
    for one, verbosity in zip(libraries, before, strict=True):
        one.remove_handler(handler)
        one.set_verbosity(verbosity)


def test_threads_that_overlap_leave_libraries_as_they_were(heard: Heard) -> None:
    from diffusers.utils import logging as of_diffusers

    first, second = quiet("diffusers"), quiet("diffusers", "transformers")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert of_diffusers.get_verbosity() == logging.ERROR
    second.__exit__(None, None, None)
    assert of_diffusers.get_verbosity() == logging.WARNING
    assert heard.said == []


def test_long_prompts_are_drawn_without_a_word(
    tiny_pipeline: Path, tmp_path: Path, heard: Heard
) -> None:
    draw(fitted(tiny_pipeline, tmp_path, prompt=LONG))
    assert heard.said == []


@pytest.mark.parametrize("kind", ["lora", "textual_inversion"])
def test_so_they_are_learnt_from(
    tiny_pipeline: Path, tmp_path: Path, heard: Heard, kind: str
) -> None:
    adapt = {"kind": kind, "steps": 2, "readings": 1, "monitor_images": 2}
    draw(fitted(tiny_pipeline, tmp_path, prompt=LONG, adapt=adapt))
    assert heard.said == []


@pytest.mark.slow
def test_what_diffusers_imports_is_not_warned_of() -> None:
    importing = "import synthlift.generators.pipelines, diffusers.pipelines.kolors.text_encoder"
    done = subprocess.run(
        [sys.executable, "-c", importing], check=True, capture_output=True, text=True
    )
    assert "Warning" not in done.stderr
