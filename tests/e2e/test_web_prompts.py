"""Words of one's own in the browser: a study's text-to-image generator, and a model without one."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthlift.embedded import EMBEDDED
from synthlift.spec.provenance import LICENCE, provenance_in
from tests.e2e.browsing import faults_of, page_of
from tests.e2e.serving import Server, finished_study, serving
from tests.unit.api.test_run import cli

TERMS = "Draw no swans.\n"
PROMPT = "a thick red seven leaning left on a black background"
DRAWN = {"kind": "text_to_image", "model": EMBEDDED, "sampler_steps": 2, "micro_batch": 8}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prompts")


@pytest.fixture(scope="module")
def finished(home: Path) -> Path:
    run = finished_study(home, generator=DRAWN)
    (run / "generators" / "text_to_image" / LICENCE).write_text(TERMS)
    return run


@pytest.fixture(scope="module")
def server(home: Path, finished: Path) -> Iterator[Server]:
    with serving(home, [str(finished), "--workers", "1"]) as found:
        yield found
        said = [file.read_text() for file in home.glob("serve-*.stderr")]
        assert not any("seven" in text for text in said), "what is asked for is not logged"


def by_study(server: Server, run_id: str, **changes: Any) -> Any:
    return server.draw(run_id, generator="text_to_image", count=2, **changes)


def test_a_prompt_takes_the_place_of_the_studys_words_as_on_the_command_line(
    server: Server, run_id: str, finished: Path, tmp_path: Path
) -> None:
    (generator,) = server.ask("GET", f"/api/v1/runs/{run_id}")[1]["generators"]
    assert generator["takes_prompts"]
    assert generator["defaults"] == {"guidance_scale": 2, "sampler_steps": 2}
    assert generator["limits"] == {"guidance_scale": [0, 50], "sampler_steps": [1, 200]}
    usual = by_study(server, run_id)
    assert {one["facts"]["prompt"] for one in usual["images"]} == {"a photo of disc"}
    words = {"prompt": PROMPT, "negative_prompt": "a blue circle", "guidance": 3, "steps": 3}
    made = by_study(server, run_id, **words)
    images = server.images(made)
    assert images != server.images(usual)
    for one, content in zip(made["images"], images, strict=True):
        assert provenance_in(content) == one["facts"]
        assert (one["facts"]["prompt"], one["facts"]["class"]) == (PROMPT, "disc")
        assert one["seen"]["label"] in ("bars", "disc", "ramp")
        assert one["near"] is not None
    with zipfile.ZipFile(io.BytesIO(server.ask("GET", made["archive"])[1])) as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("metadata.csv").decode())))
        assert {row["prompt"] for row in rows} == {PROMPT}
        assert json.loads(archive.read("request.json"))["negative_prompt"] == "a blue circle"
        assert archive.read(LICENCE).decode() == TERMS
    asked = [part for name, value in words.items() for part in (f"--{name}", value)]
    options = [str(part).replace("negative_prompt", "negative-prompt") for part in asked]
    out = tmp_path / "out"
    place = ("--class", "disc", "--per-class", 2, "--seed", 5, "--out", out, "--device", "cpu")
    found = cli("generate", finished, *place, *options)
    assert found.exit_code == 0, found.output
    written = sorted((out / "images" / "disc").iterdir())
    assert [file.read_bytes() for file in written] == images
    alone = server.images(by_study(server, run_id, prompt=PROMPT))
    assert len({*alone, *images}) == 4, "what to avoid, guidance and steps have a say"


def test_words_without_effect_are_told(server: Server, run_id: str) -> None:
    long = " and ".join([PROMPT] * 3)
    made = by_study(server, run_id, prompt=long, negative_prompt="x", guidance=1)
    (lost, vain) = made["remarks"]
    assert "longer than the text encoder reads" in lost
    assert "no effect at guidance_scale 1" in vain


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"prompt": "  "}, "without words"),
        ({"prompt": "a\u0000b"}, "letters that are none"),
        ({"prompt": "x" * 1001}, "at most 1000"),
        ({"steps": 201}, "less than or equal to 200"),
        ({"label": None}, "without a class"),
        ({"generator": None}, "without a generator"),
        ({"model": "embedded"}, "a run and a model"),
        ({"run": None}, "neither a run nor a model"),
        ({"run": None, "model": "embedded", "prompt": "a disc"}, "beside a generator"),
    ],
)
def test_what_makes_no_sense_is_refused(
    server: Server, run_id: str, wrong: Any, words: str
) -> None:
    body = {"run": run_id, "generator": "text_to_image", "label": "disc", **wrong}
    code, answer, _ = server.ask("POST", "/api/v1/generations", body)
    assert code == 400
    assert all(answer["error"].values())
    assert words in answer["error"]["given"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"model": "embedded"}, "without a prompt"),
        ({"model": "embedded", "attributes": {"a": "b"}, "prompt": "x"}, "attributes"),
        ({"model": "embeded", "prompt": "x"}, "embedded"),
        ({"model": "/etc", "prompt": "x"}, "no model is called"),
        ({"model": "embedded", "prompt": "x", "start": {"strength": 1, "sample": 0}}, "of a run"),
        ({"model": "embedded", "prompt": "x", "start": {"strength": 1}}, "no picture"),
    ],
)
def test_a_model_wants_words_and_nothing_of_a_study(
    server: Server, wish: dict[str, Any], words: str
) -> None:
    code, answer, _ = server.ask("POST", "/api/v1/generations", wish)
    assert code == 400
    assert words in answer["error"]["given"]


def test_a_model_draws_without_a_study_and_from_a_picture(server: Server) -> None:
    (model,) = server.ask("GET", "/api/v1/models")[1]["models"]
    assert (model["name"], model["licence"]) == ("embedded", "Apache-2.0")
    assert model["defaults"] == {"guidance_scale": 2, "sampler_steps": 15}
    assert str(Path(__file__).parents[2]) not in json.dumps(model)
    wish = {"model": "embedded", "prompt": PROMPT, "count": 2, "seed": 1, "steps": 4}
    made = server.draw_with(**wish)
    images = server.images(made)
    assert server.images(server.draw_with(**{**wish, "count": 1})) == images[:1]
    for one, content in zip(made["images"], images, strict=True):
        assert Image.open(io.BytesIO(content)).size == (32, 32)
        assert provenance_in(content) == one["facts"]
        assert one["facts"]["origin"] == "synthetic"
        assert (one["facts"]["generator"], one["facts"]["prompt"]) == ("embedded", PROMPT)
        assert "class" not in one["facts"]
        assert (one["seen"], one["near"]) == (None, None)
    _, archive, headers = server.ask("GET", made["archive"])
    assert 'filename="synthetic-embedded-seed1.zip"' in headers["Content-Disposition"]
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist()[0].startswith("images/synthetic-embed")
    stream = io.BytesIO()
    Image.new("RGB", (40, 40), "blue").save(stream, "PNG")
    none = {"run": None, "generator": None, "label": None}
    varied = server.vary("", stream.getvalue(), 0.3, **{**none, **wish})
    assert varied["images"][0]["facts"]["made_from"].startswith("a variation of an uploaded")
    (first, *_) = [np.asarray(Image.open(io.BytesIO(one))) for one in server.images(varied)]
    assert first[..., 2].mean() > first[..., 0].mean() + 50, "most of the blue picture stays"
    pool = server.ask("POST", "/api/v1/pools", {"name": "mine"})[1]["id"]
    verdict = {"generation": made["id"], "index": 0, "verdict": "keep", "who": "Ada"}
    code, answer, _ = server.ask("POST", f"/api/v1/pools/{pool}/verdicts", verdict)
    assert (code, answer["error"]["given"]) == (400, "a picture of a model without a study")


def test_words_are_tried_by_keyboard_with_and_without_a_study(
    browser: Any, server: Server, run_id: str
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/generate?run={run_id}")
        page.get_by_label("How many").fill("2")
        page.get_by_text("More settings").press("Enter")
        page.get_by_label("Steps").fill("3")
        page.get_by_label("What to avoid").fill("a blue circle")
        page.get_by_label("In words of your own").focus()
        page.keyboard.type(PROMPT)
        assert "stays what the pictures are judged as" in page.locator("#prompt-help").inner_text()
        assert faults_of(page) == []
        page.get_by_role("button", name="Generate").press("Enter")
        page.get_by_text(f"2 images of class bars, “{PROMPT}”, seed 0.").wait_for()
        assert PROMPT in str(page.locator("#images .facts").first.text_content())
        assert page.locator("#images .near").count() == 2
        page.get_by_label("Study or model", exact=True).select_option(
            label="digits and shapes by words, comes with Synthlift"
        )
        assert not page.get_by_label("What to draw").is_visible()
        page.get_by_label("In words of your own").fill("")
        page.get_by_role("button", name="Generate").press("Enter")
        assert page.get_by_label("In words of your own").evaluate(
            "one => one === document.activeElement && !one.validity.valid"
        ), "a model without a study needs words"
        page.keyboard.type("a thin blue star")
        page.get_by_role("button", name="Generate").press("Enter")
        page.get_by_text("2 images of “a thin blue star”, seed 0.").wait_for()
        assert page.get_by_alt_text("Synthetic image 1 of “a thin blue star”").is_visible()
        assert page.locator("#images .near").count() == 0
        assert faults_of(page) == []


def test_pictures_drawn_by_words_are_kept_as_of_their_class(
    browser: Any, server: Server, run_id: str
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/chain?run={run_id}")
        page.get_by_label("How many").fill("1")
        page.get_by_label("What to draw").select_option("disc")
        page.get_by_label("In words of your own").fill(PROMPT)
        page.get_by_role("button", name="Draw").press("Enter")
        page.get_by_text("1 picture to judge").wait_for()
        page.get_by_label("Your name").fill("Ada")
        page.get_by_label("Name of a new pool").fill("by words")
        blind = page.get_by_role("link", name="Take the blind test of this study")
        assert blind.get_attribute("href") == f"/runs/{run_id}/blind-test"
        page.get_by_label("Keep picture 1").press("Enter")
        page.get_by_text("1 picture kept of 1 judged – 1 of disc").wait_for()
        assert faults_of(page) == []
    pools = server.ask("GET", "/api/v1/pools")[1]["pools"]
    (pool,) = [one for one in pools if one["name"] == "by words"]
    with zipfile.ZipFile(io.BytesIO(server.ask("GET", pool["archive"])[1])) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".png")]
        said = provenance_in(archive.read(name))
        assert archive.read(f"text_to_image-{LICENCE}").decode() == TERMS
    assert said is not None
    assert (said["class"], said["prompt"]) == ("disc", PROMPT)
