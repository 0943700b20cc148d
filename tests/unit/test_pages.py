"""What the pages tell a reader to type, and where they point to, exists."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer.main

from synthlift import api
from synthlift.cli import app
from synthlift.registry import available

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "recipes/*.md", "results/**/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
CALL = re.compile(r"(?:^|[\s`])(?:\.venv/bin/)?synthlift (?!import )([^`\n#…|&;]+)")
LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")


def typed(page: Path) -> Iterator[list[str]]:
    """The words after ``synthlift`` of all commands in code, continued lines joined."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for code in re.findall(r"```(?:sh)?\n.*?```|`[^`\n]+`", text, flags=re.DOTALL):
        for words in CALL.findall(code):
            yield shlex.split(words) if words.count("'") % 2 == 0 else words.split()


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to headings."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_and_their_options_exist(page: Path) -> None:
    whole: Any = typer.main.get_command(app)
    for words in typed(page):
        command, rest = whole.commands.get(words[0]), words[1:]
        assert command is not None or words[0].startswith("-") or not words[0].islower(), words
        if hasattr(command, "commands") and rest:
            command, rest = command.commands[rest[0]], rest[1:]
        if command is not None:
            known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
            asked = {word.partition("=")[0] for word in rest if re.match(r"--\w", word)}
            assert asked <= known | {"--help"}, words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_study_file_that_is_used_was_written(page: Path) -> None:
    """Where a block writes a study file with ``init``, what follows names the same file."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        calls = [words.split() for words in CALL.findall(block)]
        written = {
            words[words.index("--out") + 1] if "--out" in words else "study.yaml"
            for words in calls
            if words[0] == "init"
        }
        used = {word for words in calls for word in words[1:2] if word.endswith(".yaml")}
        assert not written or used <= written


def test_predictions_of_ones_own_are_judged_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "howto" / "run-folder.md").read_text(encoding="utf-8")
    program = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)[-1]
    truth = ["dog", "cat"] * 60
    right = [[0.2, 0.8], [0.8, 0.2]] * 60
    wrong = [row[::-1] for row in right]
    models = {
        "baseline": [wrong[: 30 + n] + right[30 + n :] for n in range(10)],
        "ours": [wrong[: 10 + n] + right[10 + n :] for n in range(10)],
    }
    monkeypatch.chdir(tmp_path)
    exec(program, {"models": models, "truth": truth, "files": [f"{n}.png" for n in range(120)]})
    table = pd.read_parquet("predictions.parquet")
    assert set(table) == {"arm", "replicate", "image_id", "label", "probabilities"}
    found = api.evaluate("predictions.parquet", rival="baseline", generative="ours").verdict
    assert found.contrast.difference.value == pytest.approx(20 / 120)
    assert not found.exploratory


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_recipes_say_where_their_images_go(path: Path) -> None:
    page = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    collections = page.partition("## Collections")[2]
    assert f"`{path.name}`" in collections
    for place in re.findall(r"(?:source|masks): \./([\w.-]+)", path.read_text()):
        assert place in collections


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_compose_is_told_the_token_that_it_requires(page: Path) -> None:
    for code in re.findall(r"`[^`\n]*docker compose[^`\n]*`", page.read_text(encoding="utf-8")):
        assert "SYNTHLIFT_TOKEN=" in code


def test_figures_of_earlier_versions_of_generators_say_so() -> None:
    """Those that are named are all that changed since, and to the versions that there are now."""
    page = (ROOT / "results" / "real" / "README.md").read_text(encoding="utf-8")
    said = page.partition("`every-generator.json` are of commit d20e11b59")[2].partition("\n\n")[0]
    results = json.loads((ROOT / "results" / "real" / "every-generator.json").read_text())
    known = available("generators")
    now = {one["name"]: int(known[one["name"]].version) for one in results["generators"]}
    assert now == {"flow": 2, "vae": 1, "gan": 2, "cut_paste": 2, "translation": 3, "pool": 1}
    assert "`flow`, `gan` and `cut_paste` went from version 1 to 2" in said
    assert "`translation` from 2 to 3" in said
    assert "`vae` and `pool` are still 1" in said


def test_figures_of_the_generators_are_those_of_the_file() -> None:
    text = (ROOT / "docs" / "howto" / "generators.md").read_text(encoding="utf-8")
    results = json.loads((ROOT / "results" / "real" / "every-generator.json").read_text())
    made = results["generators"]
    rows = (
        ("a fit, seconds of the clock", [f"{one['fit_seconds']:.1f}" for one in made]),
        ("images per second of the clock", [f"{one['images_per_second']:,.0f}" for one in made]),
        (
            "a fit, its images drawn and judged, seconds of one core",
            [f"{one['energy_kwh'] * 3.6e6 / 10 / one['fits']:.1f}" for one in made],
        ),
    )
    for name, figures in rows:
        assert f"| {name} | {' | '.join(figures)} | |" in text
