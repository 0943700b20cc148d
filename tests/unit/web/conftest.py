"""An application without a network: Flask's own client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

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
