"""Every failure becomes words on stderr and the right exit code."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from synthlift.cli.errors import guarded
from synthlift.errors import (
    DiskFullError,
    InputError,
    Interrupted,
    LeakageError,
    StageError,
    SynthliftError,
)

WRONG = InputError("margin 7", rule="a share between 0 and 1", remedy="give 0.01 for one point")


def invoke(error: BaseException, *arguments: str) -> tuple[int, str, str]:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @guarded
    def fail(as_json: bool = typer.Option(False, "--json")) -> None:
        raise error

    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WRONG, 2),
        (StageError("a stage"), 1),
        (DiskFullError("full"), 1),
        (LeakageError("locked"), 1),
        (SynthliftError("other"), 1),
        (Interrupted("stopped"), 130),
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2),
        (ZeroDivisionError("division by zero"), 1),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    found, stdout, stderr = invoke(error)
    assert found == code
    assert stdout == ""
    assert stderr
    assert "Traceback" not in stderr


def test_wrong_input_is_laid_out_as_given_rule_remedy() -> None:
    _, _, stderr = invoke(WRONG)
    assert stderr.splitlines() == [
        "Error: margin 7",
        "  Rule:   a share between 0 and 1",
        "  Remedy: give 0.01 for one point",
    ]


def test_json_puts_the_error_on_stdout_too() -> None:
    _, stdout, stderr = invoke(WRONG, "--json")
    error = json.loads(stdout)["error"]
    assert error["given"] == "margin 7"
    assert error["rule"] == "a share between 0 and 1"
    assert error["remedy"] == "give 0.01 for one point"
    assert (error["type"], error["exit_code"]) == ("InputError", 2)
    assert "margin 7" in stderr


def test_an_unexpected_error_names_the_file_with_the_details() -> None:
    _, _, stderr = invoke(ZeroDivisionError("division by zero"))
    path = Path(stderr.split("Details: ")[1].splitlines()[0])
    assert "ZeroDivisionError" in stderr
    assert "Traceback" in path.read_text()


def test_a_full_disk_says_how_to_go_on() -> None:
    _, _, stderr = invoke(OSError(errno.ENOSPC, "No space left on device"))
    assert "free space and run the same command again" in " ".join(stderr.split())
