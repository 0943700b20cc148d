"""What ``demo``, ``run`` and ``plan`` share: the first line, the end, and how to go on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from synthlift.cli.output import note
from synthlift.errors import DiskFullError, InputError, Interrupted, StageError, SynthliftError

if TYPE_CHECKING:
    from synthlift.api.run_folder import Run
    from synthlift.api.sources import Asked


def store_of(asked: Asked) -> Path:
    """The store that a study will use."""
    from synthlift.store import default_root

    return (asked.store or default_root()).absolute()


def announce(asked: Asked, *, device: str, quiet: bool) -> None:
    """The first line of a run: where copies of images lie, and what computes."""
    from synthlift.study.devices import choose_device

    chosen = choose_device(device)
    note(
        f"Copies of images lie in {store_of(asked)} and {asked.out}; device: {chosen}", quiet=quiet
    )


def command_line() -> str:
    """The exact command, as it could be typed again."""
    return shlex.join(["synthlift", *sys.argv[1:]])


def go_on(out: Path) -> str:
    """The command that goes on with a run."""
    return shlex.join(["synthlift", "run", near(out)])


def near(path: Path) -> str:
    """Relative to the current folder where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Say how to go on when a run ends early."""
    try:
        yield
    except (KeyboardInterrupt, Interrupted):
        again = go_on(out) if (out / "study.yaml").is_file() else command_line()
        raise Interrupted(f"Stopped; everything finished is kept. Go on with:\n  {again}") from None
    except (StageError, DiskFullError) as error:
        again = go_on(out) if (out / "study.yaml").is_file() else command_line()
        raise type(error)(f"{error}\nGo on with:\n  {again}\nLog: {out / 'log.jsonl'}") from error
    except (InputError, SynthliftError):
        raise


def tell(run: Run) -> str:
    """The answer for a terminal."""
    from synthlift.reporting import summary_text

    return f"{summary_text(run.results).rstrip()}\n\nReport: {run.report_path}"
