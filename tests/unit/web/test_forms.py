"""Forms with files: what they say, what they may not, and what is wrong with them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request

from synthlift.web.forms import IN_MEMORY, FormRequest

MARK = "mark"
PARTS, FIELD = 4, 100


@pytest.fixture
def app() -> Flask:
    made = Flask(__name__)
    made.request_class = FormRequest
    made.config.update(MAX_FORM_PARTS=PARTS, MAX_FORM_MEMORY_SIZE=FIELD)

    @made.post("/")
    def tell() -> Response:
        files = [
            [name, file.filename, file.content_type, len(file.stream.read())]
            for name, file in request.files.items(multi=True)
        ]
        return jsonify(fields=list(request.form.items(multi=True)), files=files)

    return made


def part(said: str, content: bytes, kind: str = "") -> bytes:
    head = f"--{MARK}\r\nContent-Disposition: form-data; {said}\r\n"
    head += f"Content-Type: {kind}\r\n" if kind else ""
    return head.encode() + b"\r\n" + content + b"\r\n"


def send(app: Flask, body: bytes, *, boundary: str = f"; boundary={MARK}") -> tuple[int, Any]:
    kind = f"multipart/form-data{boundary}"
    answer = app.test_client().post("/", data=body, content_type=kind)
    return answer.status_code, answer.json


END = f"--{MARK}--\r\n".encode()
NOTHING: dict[str, list[object]] = {"fields": [], "files": []}


def test_fields_and_files_arrive_in_order_with_their_names(app: Flask) -> None:
    body = part('name="a"', "grün".encode()) + part('name="a"', b"")
    body += part('name="f"; filename="../Blätter.png"', b"\x89PNG\r\n--mar", "image/png")
    body += part('name="f"; filename="b"', b"")
    assert send(app, body + END) == (
        200,
        {
            "fields": [["a", "grün"], ["a", ""]],
            "files": [
                ["f", "../Blätter.png", "image/png", 11],
                ["f", "b", "application/octet-stream", 0],
            ],
        },
    )


def test_a_field_that_is_no_text_stays_a_field(app: Flask) -> None:
    code, said = send(app, part('name="a"', b"\xff\xfe", "text/plain; charset=nonsense") + END)
    assert (code, said) == (200, {"fields": [["a", "\ufffd\ufffd"]], "files": []})


def test_a_large_file_is_put_on_disk_whole(app: Flask) -> None:
    size = 3 * IN_MEMORY
    code, said = send(app, part('name="f"; filename="a.zip"', bytes(size)) + END)
    assert (code, said["files"][0][3]) == (200, size)


@pytest.mark.parametrize(
    "body",
    [
        part('name="a"', b"1") * (PARTS + 1) + END,
        part('name="a"', b"x" * (FIELD + 1)) + END,
        part('name="a"; filename="' + "n" * 10_000 + '"', b"") + END,
    ],
    ids=["parts", "field", "name"],
)
def test_more_than_may_be_sent_is_refused(app: Flask, body: bytes) -> None:
    assert send(app, body)[0] == 413


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no form",
        part('name="a"', b"1"),
        part('name="a"', b"1")[: -len(b"\r\n1\r\n")],
        b"--mark\r\nContent-Disposition: attachment\r\n\r\n1\r\n" + END,
        b"--mark\r\n\xff\xff: 1\r\n\r\n1\r\n" + END,
    ],
    ids=["empty", "other", "no end", "no content", "no field", "no header"],
)
def test_of_a_malformed_form_nothing_is_taken(app: Flask, body: bytes) -> None:
    assert send(app, body) == (200, NOTHING)


def test_a_form_that_does_not_say_how_it_is_parted_is_empty(app: Flask) -> None:
    assert send(app, part('name="a"', b"1") + END, boundary="") == (200, NOTHING)


def test_a_form_without_files_is_read_as_before(app: Flask) -> None:
    answer = app.test_client().post("/", data={"token": "a b&c"})
    assert answer.json == {"fields": [["token", "a b&c"]], "files": []}
    answer = app.test_client().post("/", data=io.BytesIO(b"{}"), content_type="application/json")
    assert answer.json == NOTHING
