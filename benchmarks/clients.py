"""Clients of the web app, for what is measured of it: they ask over loopback, from one process."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from typing import Any

from synthlift.web.security import CLIENT_HEADER


def _request(path: str, picture: bytes, *, explain: bool) -> bytes:
    mark = "-----------------------------synthlift"
    asked = f'--{mark}\r\nContent-Disposition: form-data; name="explain"\r\n\r\ntrue\r\n'
    body = (
        f"{asked if explain else ''}--{mark}\r\n"
        'Content-Disposition: form-data; name="pictures"; filename="a.png"\r\n'
        "Content-Type: image/png\r\n\r\n"
    ).encode()
    body += picture + f"\r\n--{mark}--\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{CLIENT_HEADER}: benchmark\r\n"
        f"Content-Type: multipart/form-data; boundary={mark}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(
    port: int,
    path: str,
    pictures: list[bytes],
    *,
    clients: int,
    seconds: float,
    explain: bool = False,
) -> list[float]:
    """Seconds that each answer took; every client waits for its answer before it asks again."""
    requests = [_request(path, picture, explain=explain) for picture in pictures]
    times: list[float] = []

    async def client(number: int, end: float) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        turn = number
        while time.monotonic() < end:
            began = time.monotonic()
            writer.write(requests[turn % len(requests)])
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            assert head.startswith("http/1.1 200"), head
            length = int(head.split("content-length:")[1].split("\r\n")[0])
            await reader.readexactly(length)
            times.append(time.monotonic() - began)
            turn += 1
            if "connection: close" in head:  # Flask's own server keeps none
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()

    async def all_clients() -> None:
        end = time.monotonic() + seconds
        await asyncio.gather(*(client(number, end) for number in range(clients)))

    asyncio.run(all_clients())
    return times


def grid_seconds(port: int, facts: dict[str, Any], seed: int) -> float:
    """Seconds from asking for 16 images to having seen the last of them."""
    generator = facts["generators"][0]
    body = {"run": facts["id"], "generator": generator["name"], "seed": seed, "count": 16}
    body["label"] = facts["classes"][0]
    began = time.monotonic()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/generations",
        data=json.dumps(body).encode(),
        headers={CLIENT_HEADER: "benchmark", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        made = json.loads(answer.read())
    events = get(port, f"/api/v1/generations/{made['id']}/events").decode()
    assert '"state":"done"' in events
    return time.monotonic() - began


def get(port: int, path: str) -> bytes:
    """The content that is found there."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
        content: bytes = answer.read()
    return content
