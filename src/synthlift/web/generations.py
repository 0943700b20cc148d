"""Requests for images: one folder each, with the images, what they are, and how far it is."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import secrets
import shutil
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from synthlift.spec.provenance import LICENCE
from synthlift.store.files import write_json_atomic
from synthlift.web.errors import MissingError
from synthlift.web.inference.client import Inference
from synthlift.web.inference.link import GONE, Listener
from synthlift.web.queues import require_place

State = Literal["running", "done", "failed", "cancelled"]
REQUEST, IMAGES, LIST = "request.json", "images", "images.jsonl"
_NEAR = {"label": "nearest_class", "unusual": "unusual", "near_copy": "near_copy"}
"""What is known of the nearest training image, and what the table calls it."""
_ID = re.compile(r"[0-9a-f]{16}")
REMEMBERED = 100
"""Requests that have ended and are held in memory; what older ones drew is read again."""
PATIENCE_SECONDS = 2.0
"""Between two looks whether a pipeline that was asked to stop has done so."""
_LOG = logging.getLogger("synthlift.web")
README = """These images are synthetic: a generator made them. They show nothing that exists.

metadata.csv says of each image what made it, from which seed, and which class a classifier sees;
of which class the nearest training image is; which share of held-out real images is less unusual;
and whether it is nearly a copy of a training image.
The PNG files say it themselves, in text chunks called synthlift:*.
MODEL-LICENCE.txt, where there is one, has the terms of the model behind them, word by word.
The same generator, class, prompt, seed and settings give the same images again; from the same
picture, where they start from one, which is not kept.
"""


@dataclass
class Generation:
    """One request for images.

    Attributes:
        id: random.
        folder: where its images lie.
        request: what was asked for, as the client may see it.
        state: how it is.
        images: one entry an image: file, facts, seen, near.
        remarks: what of the request has no effect, in words.
        error: given, rule and remedy when it failed.
        began, changed: seconds since the epoch.
        upload: the picture that it starts from, where one was sent; it is deleted when the first
            image is there, or none will be.
        by_pipeline: whether a pretrained pipeline draws it.
        asked_to_end: whether it is to end before all images are there.
        wish: what the process that draws is told, with places of this machine.
        sending: how often it was told; only what is said of the last time is heard.
        client: who asked for it.
        turn: when that process last began to draw for it rather than for another; 0 = not yet.
        news: is told of every change.
    """

    id: str
    folder: Path
    request: Mapping[str, Any]
    state: State = "running"
    images: list[dict[str, Any]] = field(default_factory=list)
    error: Mapping[str, str] = field(default_factory=dict)
    began: float = field(default_factory=time.time)
    changed: float = field(default_factory=time.time)
    upload: Path | None = None
    by_pipeline: bool = False
    asked_to_end: bool = False
    remarks: list[str] = field(default_factory=list)
    wish: Mapping[str, Any] = field(default_factory=dict, repr=False)
    sending: int = 0
    turn: float = 0.0
    client: str = ""
    news: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def listener(self) -> Listener:
        """Hears what is said of one more sending, and of no earlier one from now on."""
        with self.news:
            self.sending, self.turn = self.sending + 1, 0.0
            number = self.sending

        def hear(event: Mapping[str, Any]) -> None:
            with self.news:
                if number == self.sending:
                    self.hear(event)

        return hear

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take note of what the worker says, until it has ended."""
        with self.news:
            if self.state == "running":
                self._note(event)
                self.news.notify_all()

    def _note(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "turn":
            self.turn = time.monotonic()
            return
        self.changed = time.time()
        if kind == "remarks":
            self.remarks = list(event["remarks"])
            return
        if self.upload is not None:  # whatever came of it, it is needed no more
            with suppress(OSError):
                self.upload.unlink(missing_ok=True)
        if kind == "image":
            entry = {key: event.get(key) for key in ("file", "facts", "seen", "near")}
            with (self.folder / LIST).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
            self.images.append(entry)
        else:
            self.error = event.get("error", {})
            self.state = kind

    def begin_anew(self) -> bool:
        """Hear no more of what was sent, to send it again; False when images are there, or it ends.

        An image depends on the wish alone, so that nobody sees a difference.
        """
        with self.news:
            anew = self.state == "running" and not (self.images or self.asked_to_end)
            self.sending += anew
        return anew

    def wait(self, *, images: int, seconds: float) -> bool:
        """Wait until there are more than so many images, or it has ended; False = neither yet."""

        def is_new() -> bool:
            return len(self.images) > images or self.state != "running"

        with self.news:
            return self.news.wait_for(is_new, timeout=seconds)

    @property
    def is_told_by_its_folder(self) -> bool:
        """Whether it can be read again as it is."""
        whole = self.state == "done" and len(self.images) == self.request["count"]
        return (whole or self.state == "cancelled") and not (self.error or self.remarks)

    @property
    def seconds_left(self) -> float | None:
        """At the pace so far."""
        done, wanted = len(self.images), int(self.request["count"])
        if self.state != "running" or not done:
            return None
        return (self.changed - self.began) / done * (wanted - done)

    @property
    def word(self) -> str:
        """For names of files: the class, or the model that knows none."""
        return str(self.request.get("label") or self.request.get("model") or "")

    @property
    def terms(self) -> str:
        """Of the model behind the images, word by word; "" = none are known."""
        file = self.folder / LICENCE
        return file.read_text("utf-8") if file.is_file() else ""

    def archive(self) -> bytes:
        """A zip of the images, with ``metadata.csv`` and a note that they are synthetic."""
        stream = io.BytesIO()
        word = re.sub(r"[^\w-]+", "-", self.word).strip("-") or "class"
        names = {one["file"]: f"images/synthetic-{word}-{one['file']}" for one in self.images}
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for file, name in names.items():
                archive.write(self.folder / IMAGES / file, name)
            archive.writestr("metadata.csv", metadata(self.images, names))
            archive.writestr("request.json", json.dumps(dict(self.request), indent=1))
            archive.writestr("README.txt", README)
            if self.terms:
                archive.writestr(LICENCE, self.terms)
        return stream.getvalue()


def metadata(images: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> str:
    """One row an image: its name in the archive, its facts, and what a classifier sees."""
    keys = sorted({key for one in images for key in one["facts"]})
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(["file", *keys, "seen_as", "seen_probability", *_NEAR.values()])
    for one in images:
        seen = one["seen"] or {"label": "", "probability": ""}
        facts = [harmless(str(one["facts"].get(key, ""))) for key in keys]
        near = [harmless(str((one.get("near") or {}).get(key, ""))) for key in _NEAR]
        views = [harmless(seen["label"]), seen["probability"], *near]
        writer.writerow([names[one["file"]], *facts, *views])
    return stream.getvalue()


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") and len(text) > 1 else text


class Generations:
    """All requests for images of one server.

    Args:
        folder: where they lie.
        inference: the process that classifies, and draws with generators of runs.
        pipelines: the one that draws with pretrained pipelines: opening a large one, or computing
            its next images, may take minutes, in which nobody could classify.
        open_at_once: that may be running; more are refused.
    """

    def __init__(
        self, folder: Path, inference: Inference, pipelines: Inference, *, open_at_once: int
    ) -> None:
        self.folder, self.open_at_once = folder, open_at_once
        self.inference, self.pipelines = inference, pipelines
        self._known: dict[str, Generation] = {}
        self._lock = threading.Lock()
        # Held while pipelines are sent a wish, or end: that may take longer than others may wait.
        self._pipes = threading.Lock()

    def start(
        self,
        request: Mapping[str, Any],
        private: Mapping[str, Any],
        *,
        by_pipeline: bool = False,
        terms: str = "",
        upload: Path | None = None,
        client: str = "",
    ) -> Generation:
        """Begin to draw.

        Args:
            request: what was asked for, as the client may see it.
            private: paths, for the worker only.
            by_pipeline: whether a pretrained pipeline draws.
            terms: of the model behind the images, word by word; they go with these.
            upload: a picture that was sent with it; it is deleted once it has been read.
            client: who asks.

        Raises:
            BusyError: too many are open.
        """
        made = self._taken_on(
            request, private, by_pipeline=by_pipeline, upload=upload, client=client
        )
        try:
            (made.folder / IMAGES).mkdir(parents=True)
            write_json_atomic(made.folder / REQUEST, dict(request), durable=False)
            if terms:
                (made.folder / LICENCE).write_text(terms, encoding="utf-8")
            with self._pipes if by_pipeline else nullcontext():
                self._send(made)
        except BaseException:
            made.hear({"event": "failed"})
            with self._lock:
                self._known.pop(made.id, None)
            shutil.rmtree(made.folder, ignore_errors=True)
            raise
        return made

    def _taken_on(
        self,
        request: Mapping[str, Any],
        private: Mapping[str, Any],
        *,
        by_pipeline: bool,
        upload: Path | None,
        client: str,
    ) -> Generation:
        name = secrets.token_hex(8)
        folder = self.folder / name
        said = {"id": name, "do": "generate", **request, **private, "out": str(folder / IMAGES)}
        made = Generation(
            name,
            folder,
            dict(request),
            upload=upload,
            by_pipeline=by_pipeline,
            wish=said,
            client=client,
        )
        with self._lock:
            open_ = [one.client for one in self._known.values() if one.state == "running"]
            require_place(
                "requests for images",
                taken=len(open_),
                own=open_.count(client),
                most=self.open_at_once,
            )
            told = [key for key, one in self._known.items() if one.is_told_by_its_folder]
            for key in told[: max(0, len(told) - REMEMBERED)]:
                del self._known[key]
            self._known[name] = made
        return made

    def _send(self, made: Generation) -> None:
        process = self.pipelines if made.by_pipeline else self.inference
        process.send(made.wish, made.listener())

    def get(self, name: str) -> Generation:
        """One request for images, also of a server that was here before.

        Raises:
            MissingError: there is none, or it was deleted.
        """
        if (known := self._known.get(name)) is not None:
            return known
        folder = self.folder / name
        if not _ID.fullmatch(name) or not (folder / REQUEST).is_file():
            raise MissingError(name)
        return _from_before(name, folder)

    def cancel(self, name: str) -> None:
        """Stop drawing; the images that are there stay."""
        made = self.get(name)
        if made.state != "running":
            return
        if not made.by_pipeline:
            self.inference.cancel(name)
            return
        if made.asked_to_end:
            return
        made.asked_to_end = True
        self.pipelines.cancel(name)
        self._look_later(made)

    def _look_later(self, made: Generation) -> None:
        """The process hears of an end between two batches, which may be minutes."""
        look = threading.Timer(PATIENCE_SECONDS, self._insist, [made])
        look.daemon = True
        look.start()

    def _insist(self, made: Generation) -> None:
        """End a drawing that was asked to end, as soon as that takes nothing from anybody."""
        with self._pipes:
            open_ = self._open_by_pipelines()
            if made.state != "running":
                return
            latest = max((one.turn for one in open_), default=0.0)
            if made.turn < latest or not made.turn:
                made.hear({"event": "cancelled"})  # It only waits: nothing is drawn for it now.
                return
            if any(one.images and not one.asked_to_end for one in open_):
                self._look_later(made)
                return
            self._begin_anew(open_)

    def _open_by_pipelines(self) -> list[Generation]:
        with self._lock:
            known = list(self._known.values())
        return [one for one in known if one.by_pipeline and one.sending and one.state == "running"]

    def _begin_anew(self, open_: Sequence[Generation]) -> None:
        """Replace the process that draws with pipelines; who did not ask to end is sent again."""
        again = [one for one in open_ if one.begin_anew()]
        for one in open_:
            if one.asked_to_end:
                one.hear({"event": "cancelled"})
        self.pipelines.restart()
        for one in again:
            try:
                self._send(one)
            except Exception as error:  # there may be no memory for another process
                _LOG.error("drawing cannot begin anew", exc_info=error)
                one.hear(GONE)

    def delete_older(self, than: float) -> None:
        """Delete what was not used since ``than`` (seconds since the epoch)."""
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            known = self._known.get(folder.name)
            if known is not None and known.state == "running":
                continue
            if folder.stat().st_mtime < than:
                with self._lock:
                    self._known.pop(folder.name, None)
                shutil.rmtree(folder, ignore_errors=True)


def _from_before(name: str, folder: Path) -> Generation:
    request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
    lines = (folder / LIST).read_text(encoding="utf-8") if (folder / LIST).is_file() else ""
    images = [json.loads(line) for line in lines.splitlines() if line.endswith("}")]
    state: State = "done" if len(images) == request["count"] else "cancelled"
    began = folder.stat().st_mtime
    return Generation(name, folder, request, state, images, {}, began, began)
