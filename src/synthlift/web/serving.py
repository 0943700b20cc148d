"""The server that the application runs in."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from synthlift.errors import InputError
from synthlift.web.settings import Settings

if TYPE_CHECKING:
    from flask import Flask
    from waitress.server import BaseWSGIServer

THREADS = 16
"""Requests that are answered at a time; a few of them may be streams (``Settings.streams``)."""


def listen(app: Flask, settings: Settings) -> BaseWSGIServer:
    """A server that listens, and answers once its ``run`` is called.

    Raises:
        InputError: the address is not this machine's, or the port is taken.
    """
    import waitress

    from synthlift.web.together import TogetherChannel

    # It warns of every request that waits for a moment.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    try:
        server = waitress.create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=THREADS,
            ident=None,
            max_request_body_size=settings.upload_bytes,
            clear_untrusted_proxy_headers=True,
        )
        server.channel_class = TogetherChannel
        return server
    except OSError as error:
        raise InputError(
            f"{settings.host}:{settings.port} cannot be listened on ({error.strerror or error})",
            rule="the address is this machine's and the port is free",
            remedy="give another --port or --host",
        ) from None
