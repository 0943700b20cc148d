"""Data sets by their name on the Hub: a real server on this machine answers as the Hub does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

COMMIT = "b" * 40
LABELS = ("cat", "dog")


def _png(value: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def _parquet(count: int, *, first: int) -> bytes:
    """A table as ``datasets`` uploads it: pictures in cells, names of classes in the schema."""
    features = {"image": {"_type": "Image"}, "label": {"names": LABELS, "_type": "ClassLabel"}}
    table = pa.table(
        {
            "image": [{"bytes": _png(first + i), "path": f"{i}.png"} for i in range(count)],
            "label": pa.array([i % 2 for i in range(count)], pa.int64()),
        }
    ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


FILES = {
    "data/train-00000-of-00001.parquet": _parquet(12, first=0),
    "data/test-00000-of-00001.parquet": _parquet(6, first=100),
}


class _Hub(BaseHTTPRequestHandler):
    """Knows the data set ``them/pictures`` and nothing else."""

    def _handle(self) -> None:
        path = self.path.split("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/them/pictures" not in path:
            self._answer(404, b"{}", "RepoNotFound")
        elif "/paths-info/" in path:
            self._answer(200, _listed(_asked(body)))
        elif "/tree/" in path:
            below = path.split("/tree/")[1].partition("/")[2]
            everything = below == "data" or "recursive=true" in self.path.casefold()
            known = below in ("", "data")
            listed = _listed(FILES if everything else ["data"])
            self._answer(200 if known else 404, listed, "" if known else "EntryNotFound")
        elif path.startswith("/api/datasets/"):
            told = {"id": "them/pictures", "sha": COMMIT, "private": False, "gated": False}
            told |= {"siblings": [{"rfilename": file} for file in FILES], "cardData": {}}
            self._answer(200, json.dumps(told).encode())
        else:
            file = path.split("/resolve/")[-1].partition("/")[2]
            found = FILES.get(file)
            self._answer(
                404 if found is None else 200, found or b"", "" if found else "EntryNotFound"
            )

    def do_GET(self) -> None:
        self._handle()

    def do_HEAD(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def _answer(self, status: int, body: bytes, code: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{len(body):040x}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


def _asked(body: bytes) -> list[str]:
    """Paths that a request names, as JSON or as a form."""
    text = body.decode()
    found: list[str] = (
        json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
    )
    return found


def _listed(names: Iterable[str]) -> bytes:
    wanted = set(names)
    files = [
        {"type": "file", "path": name, "size": len(body), "oid": f"{len(body):040x}"}
        for name, body in FILES.items()
        if name in wanted
    ]
    folders = [{"type": "directory", "path": "data", "oid": "c" * 40}] if "data" in wanted else []
    return json.dumps(files + folders).encode()


@pytest.fixture
def hub() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_data_set_of_the_hub_is_read_by_its_name(hub: str, tmp_path: Path) -> None:
    code = (
        "import json, sys\n"
        "from synthlift.data.contract import Where\n"
        "from synthlift.data.sources import open_source\n"
        "from synthlift.errors import InputError\n"
        "found = open_source(Where('hf:them/pictures', '.'))\n"
        "told = []\n"
        "for item in found.items:\n"
        "    pixels = found.load(item.path, max_pixels=1000).pixels\n"
        "    told.append([item.label, item.part, int(pixels[0, 0, 0])])\n"
        "print(json.dumps(told))\n"
        "try:\n"
        "    open_source(Where('hf:them/gone', '.'))\n"
        "except InputError as error:\n"
        "    print(error.given.splitlines()[0], '|', error.remedy)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path)}
    environment |= {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    told, gone = done.stdout.splitlines()
    expected = [[LABELS[i % 2], "train", i] for i in range(12)]
    expected += [[LABELS[i % 2], "test", 100 + i] for i in range(6)]
    assert sorted(json.loads(told)) == sorted(expected)
    assert "'hf:them/gone' cannot be read from the Hub" in gone
    assert "check the name and the network" in gone
