"""Answers whose head and body leave in one piece.

Waitress hands a socket the head of an answer first, then what follows. Each time another thread may
take the interpreter, which small answers to many clients wait for longer than they are computed.
"""

from __future__ import annotations

from typing import Any

from waitress.channel import HTTPChannel
from waitress.task import WSGITask


class _Together:
    """A channel that keeps what is written; in all else it is the channel."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.written: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def write_soon(self, data: bytes) -> int:
        self.written.append(data)
        return len(data)


class TogetherTask(WSGITask):  # type: ignore[misc] # waitress has no types
    """Writes the head of an answer with the first part of its body."""

    channel: Any

    def write(self, data: bytes) -> None:
        """See ``waitress.task.Task``."""
        if self.wrote_header or not data:
            super().write(data)
            return
        channel, self.channel = self.channel, _Together(self.channel)
        try:
            super().write(data)
        finally:
            written, self.channel = self.channel.written, channel
        channel.write_soon(b"".join(written))


class TogetherChannel(HTTPChannel):  # type: ignore[misc]
    """A connection whose answers are written so."""

    task_class = TogetherTask
