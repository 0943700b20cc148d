"""Progress on stderr: bars with the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.cli.output import duration, note

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from synthlift.study.executors.local import Listener

PLAIN_SECONDS = 5.0
LOOK_SECONDS = 1.0
SHOWN_TASKS = 4


@contextmanager
def following(store: Path, *, quiet: bool) -> Iterator[Listener]:
    """Show how a study goes on; yields the listener that the study needs.

    Args:
        store: where running tasks leave their own progress.
        quiet: show nothing.
    """
    from synthlift.study.executors.local import Listener

    if quiet:
        yield Listener()
        return
    if sys.stderr.isatty():
        with _bars(store) as listener:
            yield listener
        return
    plain = _Plain()
    yield Listener(on_event=_say_choices(note), on_progress=plain.show)


@contextmanager
def counting(what: str, *, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Progress of one loop, such as reading images; yields ``progress(done, total, note)``."""
    if quiet:
        yield lambda _done, _total, _note: None
        return
    if not sys.stderr.isatty():
        plain = _Plain(began=None)
        yield lambda done, total, _note: plain.show(done, total, what)
        return
    with _progress() as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total, _note: bars.update(task, completed=done, total=total)


@contextmanager
def stages(first: str, *, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """As :func:`counting` for several loops, each named by its note; the first is ``first``."""
    known = {"images": first}
    if quiet:
        yield lambda _done, _total, _note: None
        return
    if not sys.stderr.isatty():
        plain = _Plain(began=None)
        yield lambda done, total, note: plain.show(done, total, known.get(note, note))
        return
    with _progress() as bars:
        task, now = bars.add_task(first, total=None), first

        def show(done: int, total: int, note: str) -> None:
            nonlocal now
            name = known.get(note, note)
            if name != now:
                bars.reset(task, description=name, total=total)
                now = name
            bars.update(task, completed=done, total=total)

        yield show


@dataclass
class _Plain:
    """At most one line every few seconds; without ``began`` the first call starts the clock."""

    began: float | None = field(default_factory=time.monotonic)
    seen: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)
    done: int = 0

    def show(self, done: int, total: int, label: str) -> None:
        now = time.monotonic()
        if self.began is None:
            self.began = now
        elif done <= self.done:  # the next stage began where the last one ended
            self.began = self.seen
        self.seen, self.done = now, done
        if now - self.last < PLAIN_SECONDS:
            return
        self.last = now
        left = (now - self.began) / max(done, 1) * (total - done)
        ahead = (
            f", about {duration(left)} left in this stage"
            if done < total and now > self.began
            else ""
        )
        note(f"  {done}/{total}  {label}{ahead}")


def _progress(console: Console | None = None) -> Progress:
    import rich.console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(compact=True),
        console=console or rich.console.Console(stderr=True),
        transient=True,
        refresh_per_second=4,
    )


@contextmanager
def _bars(store: Path) -> Iterator[Listener]:
    from synthlift.study.executors.local import Listener

    with _progress() as bars:
        screen = _Screen(bars, store)
        # The executor asks a few times a second whether to stop: the moment to look around.
        yield Listener(
            on_event=_say_choices(lambda text: bars.console.print(text, markup=False)),
            on_progress=screen.show,
            should_stop=screen.look,
        )


def _say_choices(say: Callable[[str], None]) -> Callable[[str, Mapping[str, Any]], None]:
    """Print every choice that a run makes with its reason, as it is made, and early warnings."""

    def hear(event: str, fields: Mapping[str, Any]) -> None:
        if event == "warning":
            say(f"Warning: {fields['text']}")
        if event == "decision":
            value = fields["value"]
            if isinstance(value, dict) and "arm" in value:
                value = value["arm"]
            shown = f" {value} –" if isinstance(value, str | int | float) else ""
            say(f"Chosen, {fields['name'].replace('_', ' ')}:{shown} {fields['reason']}")

    return hear


class _Screen:
    """One bar for the present stage, and one for each task in it that takes long."""

    def __init__(self, bars: Progress, store: Path) -> None:
        self.bars, self.store = bars, store
        self.began, self.looked, self.done, self.complete = time.time(), 0.0, 0, False
        self.stage = bars.add_task("starting", total=None)
        self.tasks: dict[str, TaskID] = {}

    def show(self, done: int, total: int, label: str) -> None:
        if done <= self.done:
            self.bars.reset(self.stage, total=total)
        self.done = done
        self.bars.update(self.stage, completed=done, total=total, description=_short(label))
        self.complete = done == total

    def look(self) -> bool:
        if time.monotonic() - self.looked >= LOOK_SECONDS:
            self.looked = time.monotonic()
            if self.complete:  # asked again after the last task: the next stage has begun
                self.bars.reset(self.stage, total=None, description="next stage")
                self.complete, self.done = False, 0
            self._show_tasks()
        return False

    def _show_tasks(self) -> None:
        from synthlift.api.keeping import running_tasks

        found: dict[str, dict[str, Any]] = {
            task["label"]: task
            for task in running_tasks(self.store, since=self.began)[:SHOWN_TASKS]
        }
        for label in [label for label in self.tasks if label not in found]:
            self.bars.remove_task(self.tasks.pop(label))
        for label, task in found.items():
            if label not in self.tasks:
                self.tasks[label] = self.bars.add_task(f"  {_short(label)}", total=task["total"])
            self.bars.update(self.tasks[label], completed=task["done"], total=task["total"])


def _short(label: str, *, width: int = 40) -> str:
    return label if len(label) <= width else label[: width - 1] + "…"
