"""``synthlift status``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from synthlift.cli import options
from synthlift.cli.errors import guarded

if TYPE_CHECKING:
    from synthlift.api import Status


@guarded
def status(run: options.RunFolder, as_json: options.Json = False) -> None:
    """Say how far a run is."""
    from synthlift import api
    from synthlift.cli import output

    found = api.status(run)
    if as_json:
        output.say_json(asdict(found))
    else:
        output.say(_words(found))


def _words(found: Status) -> str:
    from synthlift.cli.output import duration
    from synthlift.cli.starting import go_on, near

    lines = [f"{near(found.path)}: {found.state}" + (f" (pid {found.pid})" if found.pid else "")]
    if found.seconds is not None and found.state == "running":
        lines[0] += f" for {duration(found.seconds)}"
    if found.error:
        lines.append(f"  {found.error}")
    if found.total and found.state != "done":
        left = f", about {duration(found.seconds_left)} left" if found.seconds_left else ""
        lines.append(f"  {found.done}/{found.total}  {found.label}{left}")
    lines += [f"  {task['label']}: {task['done']}/{task['total']}" for task in found.tasks]
    if found.state in ("interrupted", "failed"):
        lines.append(f"Go on with:\n  {go_on(found.path)}")
    if found.state == "done":
        lines.append(f"Report: {found.path / 'report.html'}")
    return "\n".join(lines)
