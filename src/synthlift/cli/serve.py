"""``synthlift serve``."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from synthlift.cli import options
from synthlift.cli.errors import guarded
from synthlift.errors import InputError

if TYPE_CHECKING:
    from synthlift.web import Settings

Runs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[RUN]...", help="Run folders to show, or folders of them."),
]
Data = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Data sets below this folder may be studied; may be given repeatedly.",
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        help="Where jobs, uploads and runs are kept; the user's data folder if left out.",
    ),
]
Host = Annotated[
    str, typer.Option("--host", help="Where to listen; another than this machine needs a token.")
]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, help="Port.")]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TEXT",
        help="What visitors must know; $SYNTHLIFT_TOKEN, or made up where it is needed.",
    ),
]
KeepHours = Annotated[
    float,
    typer.Option(
        "--keep-hours", min=0.1, help="Uploads and generated images are deleted after so long."
    ),
]
NoExamples = Annotated[
    bool, typer.Option("--no-examples", help="Do not unpack the two built-in examples.")
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Open no browser.")]


@guarded
def serve(
    runs: Runs = None,
    data: Data = None,
    home: Home = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    keep_hours: KeepHours = 24.0,
    store: options.Store = None,
    device: options.Device = "cpu",
    workers: options.Workers = None,
    no_examples: NoExamples = False,
    no_browser: NoBrowser = False,
    quiet: options.Quiet = False,
) -> None:
    """Open the web app: generate, classify and study in the browser.

    It shows finished runs of the given folders and of the store, and two built-in examples that
    were computed beforehand. Stop it with Ctrl-C; a study that runs goes on when started again.
    """
    from synthlift.web import Settings
    from synthlift.web.settings import default_home

    for given in (*(runs or ()), *(data or ())):
        if not given.expanduser().is_dir():
            raise InputError(
                f"there is no folder '{given}'",
                rule="runs and data sets are folders",
                remedy="check the spelling",
            )
    known = token or os.environ.get("SYNTHLIFT_TOKEN", "")
    if not known and not _only_here(host):
        known = secrets.token_urlsafe(24)
    settings = Settings(
        home=(home or default_home()).expanduser().absolute(),
        runs=tuple(path.expanduser().absolute() for path in runs or ()),
        store=store,
        data=tuple(path.expanduser().absolute() for path in data or ()),
        host=host,
        port=port,
        token=known,
        device=device,
        workers=workers,
        examples=not no_examples,
        keep_seconds=keep_hours * 3600,
    )
    _run(settings, made_up=known if known != token else "", browser=not no_browser, quiet=quiet)


def _only_here(host: str) -> bool:
    from synthlift.web import Settings

    return Settings(home=Path(), host=host, token="any").loopback


def _run(settings: Settings, *, made_up: str, browser: bool, quiet: bool) -> None:
    import signal
    import threading
    import webbrowser

    from synthlift.cli import output
    from synthlift.web import create_app
    from synthlift.web.serving import listen

    app = create_app(settings)
    here = app.extensions["synthlift"]
    server = listen(app, settings)
    output.note(f"Synthlift is at {settings.address} – stop it with Ctrl-C", quiet=quiet)
    if made_up and "SYNTHLIFT_TOKEN" not in os.environ:
        output.note(f"Token to sign in with: {made_up}", quiet=False)
    # A supervisor's way to end a server; both keep unfinished jobs for the next start.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    here.start()
    if browser and settings.loopback:
        threading.Timer(0.5, webbrowser.open, [settings.address]).start()
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        server.close()
        here.close()
