"""What a person sees when something goes wrong, and the exit code that goes with it.

0 done, 1 a stage failed (a full disk too), 2 the user's input is wrong, 130 interrupted.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import shutil
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec

import typer

from synthlift.errors import DiskFullError, InputError, Interrupted, SynthliftError

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Turn every exception of a command into words on stderr and an exit code.

    With ``--json`` the error also goes to stdout as ``{"error": {…}}``.
    """

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        as_json = bool(kwargs.get("as_json"))
        try:
            command(*args, **kwargs)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except SynthliftError as error:
            _leave(error, as_json=as_json)
        except KeyboardInterrupt:
            _leave(Interrupted("Interrupted. Nothing was left half-written."), as_json=as_json)
        except OSError as error:
            _leave(_from_system(error), as_json=as_json)
        except Exception as error:
            _leave(_unexpected(error), as_json=as_json)

    return wrapped


def describe(error: SynthliftError) -> dict[str, Any]:
    """The error as JSON: type, exit_code, message, and for wrong input given, rule, remedy."""
    facts: dict[str, Any] = {
        "type": type(error).__name__,
        "exit_code": error.exit_code,
        "message": str(error),
    }
    if isinstance(error, InputError):
        facts |= {"given": error.given, "rule": error.rule, "remedy": error.remedy}
    return facts


def lay_out(error: SynthliftError, *, width: int) -> str:
    """The error as text: what was given, below it the rule and the remedy."""
    if not isinstance(error, InputError):
        lead = "" if isinstance(error, Interrupted) else "Error: "
        first, *others = (lead + str(error)).splitlines()
        # Commands and paths in the other lines must survive copying.
        return "\n".join([_fill(first, width), *others])
    return "\n".join(
        [
            _fill(f"Error: {error.given}", width),
            _fill(f"  Rule:   {error.rule}", width, indent=10),
            _fill(f"  Remedy: {error.remedy}", width, indent=10),
        ]
    )


def _fill(text: str, width: int, *, indent: int = 0) -> str:
    return textwrap.fill(
        text,
        width,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _leave(error: SynthliftError, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"error": describe(error)}, ensure_ascii=False, indent=1))
    width = min(100, max(40, shutil.get_terminal_size().columns))
    text = lay_out(error, width=width)
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ and text.startswith("Error:"):
        text = typer.style("Error:", fg="red", bold=True) + text.removeprefix("Error:")
    print(text, file=sys.stderr)
    raise typer.Exit(error.exit_code)


def _from_system(error: OSError) -> SynthliftError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            "the disk is full. Nothing finished is lost: free space and run the same command again"
        )
    if isinstance(error, PermissionError):
        return InputError(
            f"no permission: '{error.filename}'",
            rule="the files and folders of a command must be readable, its outputs writable",
            remedy="allow it, or give another place",
        )
    return _unexpected(error)


def _unexpected(error: Exception) -> SynthliftError:
    """A mistake of ours: a short message, the details in a file."""
    said = f"something unexpected happened ({type(error).__name__}: {error})"
    details = "".join(traceback.format_exception(error))
    try:
        path = _crash_file()
        path.write_text(f"{' '.join(sys.argv)}\n\n{details}", encoding="utf-8")
    except OSError:
        return SynthliftError(f"{said}\n{details}")
    return SynthliftError(f"{said}\nDetails: {path}\nThis is a mistake of Synthlift, not yours.")


def _crash_file() -> Path:
    import platformdirs

    folder = Path(platformdirs.user_log_dir("synthlift"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"error-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
