"""The built-in examples on a real server: everything works at once, and no job has run."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import pytest
from PIL import Image

from synthlift.spec.provenance import provenance_in
from tests.e2e.browsing import chromium, faults_of, page_of
from tests.e2e.serving import Server, serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("examples")
    with serving(home, ["--workers", "1"], examples=True) as found:
        yield found
        assert found.ask("GET", "/api/v1/jobs")[1]["jobs"] == [], "no job had to run"


@pytest.fixture(scope="module")
def runs(server: Server) -> dict[str, str]:
    """Ids of the examples' runs."""
    found = server.until(
        "/api/v1/examples", lambda told: all(one["run"] for one in told["examples"])
    )
    return {one["name"]: one["run"] for one in found["examples"]}


def test_a_digit_is_drawn_beside_its_nearest_training_picture(
    server: Server, runs: dict[str, str]
) -> None:
    made = server.draw(runs["digits"], generator="flow", label="7", count=2)
    assert (made["state"], made["done"]) == ("done", 2), made
    for image, content in zip(made["images"], server.images(made), strict=True):
        assert Image.open(io.BytesIO(content)).size == (8, 8)
        assert provenance_in(content)["class"] == "7"  # type: ignore[index]
        assert 0 <= image["near"]["unusual"] <= 1
        assert server.ask("GET", image["near"]["url"])[0] == 200


def test_a_leaf_is_pasted_from_the_pictures_that_came_along(
    server: Server, runs: dict[str, str]
) -> None:
    made = server.draw(runs["leaves"], generator="cut_paste", label="ginkgo", count=1)
    assert (made["state"], made["done"]) == ("done", 1), made
    assert Image.open(io.BytesIO(server.images(made)[0])).size == (64, 64)


def test_what_a_generator_cannot_draw_is_offered_last_and_said(
    server: Server, runs: dict[str, str]
) -> None:
    (generator,) = server.ask("GET", f"/api/v1/runs/{runs['leaves']}")[1]["generators"]
    assert generator["classes"][-1] == "bare"
    assert generator["classes"][:-1] == ["beech", "ginkgo", "lime", "maple", "oak", "willow"]
    with chromium() as browser, page_of(browser) as page:
        page.goto(f"{server.address}/generate?run={runs['leaves']}")
        page.get_by_label("What to draw").select_option("bare")
        page.get_by_role("button", name="Generate").click()
        page.get_by_text("can make no image of class bare").wait_for()


def test_a_leaf_is_classified_with_what_it_is_most_like(
    server: Server, runs: dict[str, str]
) -> None:
    facts = server.ask("GET", f"/api/v1/runs/{runs['leaves']}")[1]
    sample = next(one for one in facts["samples"] if one["label"] == "oak")
    picture = server.ask("GET", sample["url"])[1]
    code, said, _ = server.send(
        f"/api/v1/runs/{runs['leaves']}/classifications",
        "pictures",
        ("leaf.png", picture),
        explain="true",
    )
    assert code == 200, said
    (one,) = said["pictures"]
    assert {answer["role"] for answer in one["answers"]} == {"rival", "generative"}
    assert all(len(answer["probabilities"]) == 7 for answer in one["answers"])
    assert one["near"] is not None, "the store that came along has the training pictures"
    nearest = Image.open(io.BytesIO(base64.b64decode(one["near"]["picture"])))
    assert nearest.size == (64, 64)


def test_every_generated_picture_is_in_the_gallery(server: Server, runs: dict[str, str]) -> None:
    for name, run in runs.items():
        code, page, _ = server.ask("GET", f"/api/v1/runs/{run}/generated")
        assert code == 200, page
        assert page["all"] > 100
        shown = server.ask("GET", page["images"][0]["url"])
        assert shown[0] == 200, name
        assert provenance_in(shown[1]) is not None


def test_home_says_that_they_were_computed_beforehand(server: Server, runs: dict[str, str]) -> None:
    with chromium() as browser, page_of(browser, width=390) as page:
        page.goto(server.address)
        card = page.get_by_role("article", name="Leaves")
        card.get_by_text("Computed beforehand").wait_for()
        assert "synthlift run leaves.yaml" in card.inner_text()
        assert card.get_by_role("button", name="Compute it here").is_enabled()
        assert faults_of(page) == []
        card.get_by_role("link", name="Read the report").click()
        page.get_by_text("computed beforehand and delivered").wait_for()
        report = page.frame_locator("iframe.report")
        report.get_by_role("heading", level=1).first.wait_for()
        assert faults_of(page) == []
