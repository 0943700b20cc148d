"""Models by their name on the Hub: a real server on this machine answers as the Hub does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from synthlift.errors import InputError
from synthlift.weights.hub import fetch

COMMIT = "a" * 40
FILES = {
    "config.json": b'{"model_type": "clip"}',
    "model.safetensors": b"weights",
    "pytorch_model.bin": b"pickled",
}


class _Hub(BaseHTTPRequestHandler):
    """Knows ``them/given``; ``them/gated`` wants an agreement; nothing else is there."""

    def do_GET(self) -> None:
        name = "/".join(self.path.split("/")[3:5]) if "/api/" in self.path else self.path[1:]
        if "them/gated" in self.path:
            self._answer(403, b"{}", "GatedRepo")
        elif "them/given" not in name and "them/given" not in self.path:
            self._answer(404, b"{}", "RepoNotFound")
        elif "/revision/" in self.path and not self.path.split("?")[0].endswith("/main"):
            self._answer(404, b"{}", "RevisionNotFound")
        elif "/tree/" in self.path:
            listed = [
                {"type": "file", "path": file, "size": len(body), "oid": f"{len(body):040x}"}
                for file, body in FILES.items()
            ]
            self._answer(200, json.dumps(listed).encode())
        elif "/api/models/" in self.path:
            told = {
                "id": "them/given",
                "modelId": "them/given",
                "sha": COMMIT,
                "siblings": [{"rfilename": file} for file in FILES],
            }
            self._answer(200, json.dumps(told).encode())
        else:
            self._answer(200, FILES[self.path.rsplit("/", 1)[-1]])

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, body: bytes, code: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{abs(hash(body)):040x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def asked(hub: str, home: Path, *names: str, **variables: str) -> list[str]:
    """What each name gives, in a process of its own: the package reads its settings once."""
    code = (
        "import sys\n"
        "from synthlift.errors import InputError\n"
        "from synthlift.weights.hub import fetch\n"
        "for name in sys.argv[1:]:\n"
        "    try:\n"
        "        found = fetch(name)\n"
        "        print(sorted(p.name for p in found.folder.iterdir()), found.revision)\n"
        "    except InputError as error:\n"
        "        print(error.given, '|', error.remedy)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home)}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", code, *names],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_hub_gives_safetensors_and_says_why_it_does_not(hub: str, tmp_path: Path) -> None:
    given, gated, gone, revision = asked(
        hub, tmp_path, "hf:them/given", "hf:them/gated", "hf:them/gone", "hf:them/given@v9"
    )
    assert given == f"['config.json', 'model.safetensors'] {COMMIT}"
    assert "'hf:them/gated' is gated" in gated
    assert "agree on its page" in gated
    assert "gives no model 'hf:them/gone'" in gone
    assert "renamed or removed" in gone
    assert "'hf:them/given@v9' has no such revision" in revision
    # What was fetched once needs no network again.
    nowhere = "http://127.0.0.1:9"
    again, other = asked(nowhere, tmp_path, "hf:them/given", "hf:them/more", HF_HUB_OFFLINE="1")
    assert again == given
    assert "'hf:them/more' cannot be fetched" in other
    assert "give its folder" in other


@pytest.mark.parametrize("said", ["hf:given", "hf:a/b/c", "hf:", "hf:a b/c"])
def test_a_name_of_another_form_is_refused(said: str) -> None:
    with pytest.raises(InputError, match="as a model of the Hub"):
        fetch(said)
