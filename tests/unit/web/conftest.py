"""An application without a network: Flask's own client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from PIL import Image

from synthlift.registry import descriptor
from synthlift.vision.classifiers.base import ImageTask, build_network
from synthlift.vision.prediction import ClassifierFacts, save_classifier
from synthlift.web import Settings, create_app
from synthlift.web.security import CLIENT_HEADER

OURS = {CLIENT_HEADER: "test"}
Serve = Callable[..., FlaskClient]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Makes clients of applications with the given settings; no job is run."""

    def make(**changes: Any) -> FlaskClient:
        given = {"home": tmp_path / "home", "store": tmp_path / "store", **changes}
        return create_app(Settings(**given)).test_client()

    return make


@pytest.fixture
def client(serve: Serve) -> FlaskClient:
    """A client of an application as it is by default."""
    return serve()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A classifier of two classes that has learnt nothing, and a red picture beside it."""
    found = descriptor("classifiers", "small_cnn")
    config, task = found.config(), ImageTask((8, 8, 3), 2, (0.5,) * 3, (0.25,) * 3)
    facts = ClassifierFacts(
        kind=found.kind,
        config=config.model_dump(mode="json"),
        identity=found.identity(),
        classes=("a", "b"),
        image_shape=task.image_shape,
        mean=task.mean,
        std=task.std,
    )
    network = build_network(found, config, task=task, seed=0, pretrained=False)
    save_classifier(tmp_path / "model", network=network, facts=facts)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    return tmp_path / "model"
