"""Requests for images: one folder each, with the images, what they are, and how far it is."""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
import shutil
import threading
import time
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from synthlift.store.files import write_json_atomic
from synthlift.web.errors import BusyError, MissingError
from synthlift.web.inference.client import Inference

State = Literal["running", "done", "failed", "cancelled"]
REQUEST, IMAGES, LIST = "request.json", "images", "images.jsonl"
_NEAR = {"label": "nearest_class", "unusual": "unusual", "near_copy": "near_copy"}
"""What is known of the nearest training image, and what the table calls it."""
_ID = re.compile(r"[0-9a-f]{16}")
PATIENCE_SECONDS = 2.0
"""After which a pipeline that was asked to stop is stopped."""
README = """These images are synthetic: a generator made them. They show nothing that exists.

metadata.csv says of each image what made it, from which seed, and which class a classifier sees;
of which class the nearest training image is; which share of held-out real images is less unusual;
and whether it is nearly a copy of a training image.
The PNG files say it themselves, in text chunks called synthlift:*.
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
    news: threading.Condition = field(default_factory=threading.Condition, repr=False)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take note of what the worker says, until it has ended."""
        if self.state != "running":
            return
        self.changed = time.time()
        if self.upload is not None:
            self.upload.unlink(missing_ok=True)  # whatever came of it, it has been read
        if event["event"] == "image":
            entry = {key: event.get(key) for key in ("file", "facts", "seen", "near")}
            with (self.folder / LIST).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
            self.images.append(entry)
        elif event["event"] == "remarks":
            self.remarks = list(event["remarks"])
        else:
            self.error = event.get("error", {})
            self.state = event["event"]
        with self.news:
            self.news.notify_all()

    def wait(self, *, images: int, seconds: float) -> bool:
        """Wait until there are more than so many images, or it has ended; False = neither yet."""

        def is_new() -> bool:
            return len(self.images) > images or self.state != "running"

        with self.news:
            return self.news.wait_for(is_new, timeout=seconds)

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

    def start(
        self,
        request: Mapping[str, Any],
        private: Mapping[str, Any],
        *,
        by_pipeline: bool = False,
        upload: Path | None = None,
    ) -> Generation:
        """Begin to draw.

        Args:
            request: what was asked for, as the client may see it.
            private: paths, for the worker only.
            by_pipeline: whether a pretrained pipeline draws.
            upload: a picture that was sent with it; it is deleted once it has been read.

        Raises:
            BusyError: too many are open.
        """
        with self._lock:
            if sum(one.state == "running" for one in self._known.values()) >= self.open_at_once:
                raise BusyError("too many requests for images are open")
            name = secrets.token_hex(8)
            made = Generation(
                name, self.folder / name, dict(request), upload=upload, by_pipeline=by_pipeline
            )
            self._known[name] = made
        (made.folder / IMAGES).mkdir(parents=True)
        write_json_atomic(made.folder / REQUEST, dict(request), durable=False)
        out = {"out": str(made.folder / IMAGES)}
        process = self.pipelines if by_pipeline else self.inference
        process.send({"id": name, "do": "generate", **request, **private, **out}, made.hear)
        return made

    def get(self, name: str) -> Generation:
        """One request for images, also of a server that was here before.

        Raises:
            MissingError: there is none, or it was deleted.
        """
        if name in self._known:
            return self._known[name]
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
        made.asked_to_end = True
        self.pipelines.cancel(name)
        # It hears of this between two batches, which may be minutes.
        end = threading.Timer(PATIENCE_SECONDS, self._end_pipelines)
        end.daemon = True
        end.start()

    def _end_pipelines(self) -> None:
        """End the process that does not stop to draw, unless it still draws for somebody."""
        with self._lock:
            open_ = [
                one for one in self._known.values() if one.by_pipeline and one.state == "running"
            ]
            if open_ and all(one.asked_to_end for one in open_):
                for one in open_:
                    one.hear({"event": "cancelled"})
                self.pipelines.restart()

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
