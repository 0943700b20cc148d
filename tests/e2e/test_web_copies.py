"""What a generator copies is seen where pictures are kept, and stays on record."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthlift.vision.holding import held_bytes
from synthlift.web.inference.worker import Worker
from synthlift.web.library import id_of
from tests.e2e.browsing import faults_of, page_of
from tests.e2e.serving import Server, finished_study, serving

COPIER = Path(__file__).with_name("plugins") / "copier.py"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("copies")


@pytest.fixture(scope="module")
def finished(home: Path) -> Path:
    """A study whose generator hands out training images, too few of them to be stopped for it."""
    generator = {"kind": "copier", "one_in": 20}
    return finished_study(home, generator=generator, plugins=[str(COPIER)])


@pytest.fixture(scope="module")
def server(home: Path, finished: Path) -> Iterator[Server]:
    with serving(home, [str(finished)]) as found:
        yield found


def test_copies_are_seen_on_chain_and_stay_on_record(
    browser: Any, server: Server, finished: Path
) -> None:
    with page_of(browser) as page:
        page.goto(f"{server.address}/chain?run={id_of(finished.resolve())}")
        page.get_by_label("How many").fill("60")
        page.get_by_role("button", name="Draw").click()
        page.get_by_text("60 pictures to judge").wait_for()
        copies = page.locator("#images li", has_text="nearly a copy of it")
        assert 1 <= copies.count() < 10
        assert page.locator("#images .near img").count() == 60
        page.get_by_label("Your name").fill("Ada")
        copies.first.get_by_role("button", name="Keep").click()
        page.get_by_text("nearly a copy of a training picture").wait_for()
        assert faults_of(page) == []
    (pool,) = server.ask("GET", "/api/v1/pools")[1]["pools"]
    (image,) = server.ask("GET", f"/api/v1/pools/{pool['id']}")[1]["images"]
    assert image["near_copy"] is True
    table = (server.home / "pools" / pool["id"] / "metadata.csv").read_text()
    assert table.splitlines()[1].endswith(",True")


def test_training_images_count_in_the_limit_that_models_have(
    finished: Path, tmp_path: Path
) -> None:
    first, second = (shutil.copytree(finished, tmp_path / name) for name in "ab")
    worker = Worker(lambda _: None, device="cpu", memory_bytes=10**9)
    rival = worker._classifier(str(first / "models" / "rival"))
    found = worker.references.of(first, rival)
    assert found is not None
    assert worker.references.of(first, rival) is found
    assert len(worker.loaded) == 2, "the model and the images"
    assert found.nbytes > 4 * math.prod(found.typical.references.shape) > 0
    worker.loaded.limit_bytes = int(1.5 * (found.nbytes + held_bytes(rival)))
    assert worker.references.of(second, rival) is not None
    assert len(worker.loaded) == 1, "those of two runs are more than may be kept"
    assert worker.references.of(first, rival) is not found
