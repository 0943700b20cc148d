"""Server-Sent Events: few at a time, so that the server's threads are left for requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

from flask import Response, copy_current_request_context
from pydantic import BaseModel

from synthlift.web.errors import BusyError

QUIET_SECONDS = 5.0
"""After so long without news a line is sent that says nothing: only so is a closed page noticed."""
LONGEST_SECONDS = 600.0
"""A stream ends then; who still listens asks again, from where it was."""


class Streams:
    """Counts the open streams of a server.

    Args:
        most: that may be open; each keeps a thread of the server.
    """

    def __init__(self, most: int) -> None:
        self._free = threading.Semaphore(most)

    def open(self, states: Callable[[], Iterator[BaseModel | None]]) -> Response:
        """A response that sends each state as it comes.

        Args:
            states: called within the request; None is sent as a line that says nothing.

        Raises:
            BusyError: as many are open as may be; the client asks again and again instead.
        """
        if not self._free.acquire(blocking=False):
            raise BusyError("as many pages are being kept informed as can be")

        coming = states()

        # Each step has the request's context, and none between them: a page may be closed there.
        @copy_current_request_context
        def line() -> str:
            try:
                state = next(coming)
            except StopIteration:
                return ""
            return ":\n\n" if state is None else f"data: {state.model_dump_json()}\n\n"

        def lines() -> Iterator[str]:
            yield "retry: 2000\n\n"
            yield from iter(line, "")

        response = Response(lines(), mimetype="text/event-stream")
        # No server between shall wait until there is more to send.
        response.headers["X-Accel-Buffering"] = "no"
        response.call_on_close(self._free.release)
        return response
