"""The process that decodes, classifies and draws: ``python -m synthlift.web.inference.worker``.

It reads requests from stdin and writes events to stdout, one JSON object a line. Requests to
classify that wait together are computed together; between two batches of a drawing they come first.
"""

from __future__ import annotations

import base64
import importlib
import io
import json
import os
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, TypeVar

from synthlift.errors import InputError, SynthliftError
from synthlift.web.inference.explaining import NEAREST, References, likeness, looked_at, png
from synthlift.web.inference.loaded import Loaded
from synthlift.web.pictures import INLINE

if TYPE_CHECKING:
    from synthlift.api.drawing import Start
    from synthlift.api.kept_generators import Kept
    from synthlift.api.references import Reference
    from synthlift.types import Float32, UInt8
    from synthlift.vision.prediction import Classifier

BLOCK, MOMENT = 16, 0.25
"""Images that are judged together, and the seconds after which fewer are."""
Item = TypeVar("Item")
Request = Mapping[str, Any]
Send = Callable[[Mapping[str, Any]], None]


class Worker:
    """What is loaded and what is being drawn.

    Args:
        send: writes one event.
        device: torch device string, or auto.
    """

    def __init__(self, send: Send, *, device: str) -> None:
        from synthlift.study.devices import choose_device

        self.send, self.device, self.loaded = send, choose_device(device), Loaded()
        self.references = References()
        self._drawings: deque[tuple[str, Iterator[Mapping[str, Any]]]] = deque()

    @property
    def busy(self) -> bool:
        """Whether something is being drawn."""
        return bool(self._drawings)

    def take(self, requests: Sequence[Request]) -> None:
        """Answer what can be answered at once; begin drawings, end cancelled ones."""
        for request in requests:
            if request["do"] == "generate":
                self._drawings.append((request["id"], self._draw(request)))
            elif request["do"] == "cancel":
                self._cancel(request["of"])
        classify = [request for request in requests if request["do"] == "classify"]
        if classify:
            self._classify(classify)

    def go_on(self) -> None:
        """One image of the next drawing; drawings take turns."""
        name, events = self._drawings.popleft()
        try:
            event = next(events, None)
        except Exception as error:
            self.send({"id": name, "event": "failed", "error": told(error)})
            return
        if event is None:
            self.send({"id": name, "event": "done"})
            return
        self.send({"id": name, **event})
        self._drawings.append((name, events))

    def _cancel(self, name: str) -> None:
        for drawing in list(self._drawings):
            if drawing[0] == name:
                self._drawings.remove(drawing)
                self.send({"id": name, "event": "cancelled"})

    # ── drawing ───────────────────────────────────────────────────────────────────────────────

    def _draw(self, request: Request) -> Iterator[Mapping[str, Any]]:
        from synthlift.api.drawing import Wanted, drawn, told_of
        from synthlift.api.generating import choose_classes, require_learnt
        from synthlift.api.images import read_component
        from synthlift.api.kept_generators import kept_folder, open_generator
        from synthlift.spec.provenance import png_bytes

        run, out = Path(request["run"]), Path(request["out"])
        place = kept_folder(run, request["generator"])
        assert place is not None, "the web process names runs that keep generators"
        facts = read_component(place)
        (label,) = choose_classes([request["label"]], facts["classes"])
        require_learnt(request["attributes"], place.name, facts)
        kept: Kept = self.loaded.get(
            place, lambda: open_generator(run, name=place.name, device=self.device)
        )
        judge = self._classifier(request["judge"]) if request["judge"] else None
        start = _start(request, kept, judge) if request.get("picture") else None
        reference = self._reference(run, judge)
        wanted = Wanted(
            kept,
            label,
            request["count"],
            request["seed"],
            request["attributes"],
            request["params"],
            start,
        )
        for block in _blocks(drawn(kept, wanted, halved=[])):
            seen = _seen(judge, [image[0] for _, image in block])
            near = self._near(reference, judge, block, out.parent / NEAREST)
            for (one, image), view, like in zip(block, seen, near, strict=True):
                facts_told = told_of(kept, label, one, image)
                name = f"{one.index:05d}.png"
                (out / name).write_bytes(png_bytes(image[0], facts=facts_told))
                said = {"facts": facts_told, "seen": view, "near": like}
                yield {"event": "image", "file": name, **said}

    def _reference(self, run: Path, judge: Classifier | None) -> Reference | None:
        return None if judge is None else self.references.of(run, judge)

    @staticmethod
    def _near(
        reference: Reference | None, judge: Classifier | None, block: Sequence[Any], folder: Path
    ) -> list[dict[str, Any] | None]:
        """For each image its nearest training image, which is written to a folder."""
        from synthlift.api.classifying import as_trained

        if reference is None or judge is None:
            return [None] * len(block)
        found = likeness(reference, [as_trained(image[0], judge) for _, image in block])
        for one in found:
            assert one is not None
            one["file"] = f"{one.pop('row'):06d}.png"
            file = folder / one["file"]
            if not file.is_file():
                folder.mkdir(exist_ok=True)
                file.write_bytes(png(reference.picture(int(file.stem))[0]))
        return found

    # ── classifying ───────────────────────────────────────────────────────────────────────────

    def _classifier(self, folder: str) -> Classifier:
        from synthlift.vision.batching import sized
        from synthlift.vision.prediction import load_classifier

        path = Path(folder)
        return self.loaded.get(path, lambda: sized(load_classifier(path, device=self.device)))

    def _classify(self, requests: Sequence[Request]) -> None:
        """Answer requests together: each model computes all their pictures in one go."""
        from synthlift.data.decode import without_pillow_warnings
        from synthlift.vision.batching import threads_for

        answers: dict[str, dict[str, Any]] = {}
        pictures: dict[str, list[tuple[str, int, UInt8]]] = {}
        known: dict[str, Classifier] = {}
        with without_pillow_warnings():
            for request in requests:
                try:
                    for model in request["models"]:
                        known[model] = known.get(model) or self._classifier(model)
                    answers[request["id"]] = _prepared(request, known, pictures)
                except Exception as error:
                    self.send({"id": request["id"], "event": "failed", "error": told(error)})
        explained = {request["id"]: request for request in requests if request.get("explain")}
        for model, items in pictures.items():
            items = [item for item in items if item[0] in answers]
            if items:
                with threads_for(known[model]):
                    self._answer(known[model], model, items, answers, explained)
        for request_id, answer in answers.items():
            self.send({"id": request_id, "event": "done", **answer})

    def _answer(
        self,
        classifier: Classifier,
        model: str,
        items: Sequence[tuple[str, int, UInt8]],
        answers: Mapping[str, dict[str, Any]],
        explained: Mapping[str, Request],
    ) -> None:
        """One model's probabilities of all pictures, explained where that was asked for."""
        import numpy as np

        rows = classifier.probabilities(np.stack([pixels for _, _, pixels in items]))
        for (request_id, place, _), row in zip(items, rows, strict=True):
            found = answers[request_id]["pictures"][place]
            found["answers"][model] = _named(classifier, row)
        for start in range(0, len(items), BLOCK):
            block = slice(start, start + BLOCK)
            self._explain(classifier, model, items[block], rows[block], answers, explained)

    def _explain(
        self,
        classifier: Classifier,
        model: str,
        items: Sequence[tuple[str, int, UInt8]],
        rows: Float32,
        answers: Mapping[str, dict[str, Any]],
        explained: Mapping[str, Request],
    ) -> None:
        """Where a model looked, and what the rival's training images say, for those who ask."""
        import numpy as np

        asking = [i for i, item in enumerate(items) if item[0] in explained]
        if not asking:
            return
        maps = looked_at(classifier, np.stack([items[i][2] for i in asking]), rows[asking])
        for i, laid in zip(asking, maps, strict=True):
            request_id, place, pixels = items[i]
            request, found = explained[request_id], answers[request_id]["pictures"][place]
            found["maps"][model] = laid
            if model == request["rival"]:
                found["near"] = self._likeness(Path(request["run"]), classifier, pixels)

    def _likeness(self, run: Path, rival: Classifier, pixels: UInt8) -> dict[str, Any] | None:
        reference = self.references.of(run, rival)
        (found,) = likeness(reference, [pixels])
        if found is not None and reference is not None:
            picture = reference.picture(found.pop("row"))[0]
            found["picture"] = base64.b64encode(png(picture)).decode()
        return found


def _prepared(
    request: Request,
    known: Mapping[str, Classifier],
    pictures: dict[str, list[tuple[str, int, UInt8]]],
) -> dict[str, Any]:
    """The answer to fill in; what is to be computed is added to the pictures of each model."""
    from synthlift.api.classifying import as_trained

    found: list[dict[str, Any]] = []
    for place, file in enumerate(request["files"]):
        found.append({"answers": {}, "maps": {}, "near": None, "problem": ""})
        decoded: dict[int, UInt8 | str] = {}
        sized: dict[tuple[Any, ...], UInt8] = {}
        for model in request["models"]:
            facts = known[model].facts
            if facts.white not in decoded:
                limit = request["max_pixels"]
                decoded[facts.white] = _decoded(file, white=facts.white, max_pixels=limit)
            pixels = decoded[facts.white]
            if isinstance(pixels, str):
                found[-1]["problem"] = pixels
                break
            taken_as = (facts.white, facts.image_shape, facts.fit)
            if taken_as not in sized:
                sized[taken_as] = as_trained(pixels, known[model])
            pictures.setdefault(model, []).append((request["id"], place, sized[taken_as]))
    return {"pictures": found}


def _start(request: Request, kept: Kept, judge: Classifier | None) -> Start:
    """The picture that a drawing starts from, read as pictures to classify are."""
    from synthlift.api.varying import start_of
    from synthlift.data.decode import WHITE_16_BIT, without_pillow_warnings

    picture, white = request["picture"], judge.facts.white if judge else WHITE_16_BIT
    with without_pillow_warnings():
        pixels = _decoded(picture["file"], white=white, max_pixels=picture["max_pixels"])
    if isinstance(pixels, str):
        raise InputError(
            f"the picture cannot be used: {pixels}",
            rule="a picture is a complete PNG, JPEG, BMP, GIF, TIFF, WebP, PNM or DICOM file "
            f"with at most {picture['max_pixels']:,} pixels",
            remedy="give another one, or save it again from an image program",
        )
    return start_of(
        kept,
        pixels,
        strength=request["start"]["strength"],
        fit=judge.facts.fit if judge else "pad",
        name=picture["name"],
    )


def _decoded(picture: str, *, white: int, max_pixels: int) -> UInt8 | str:
    """The pixels of a file whose name says nothing, or of an inline picture; or what is wrong."""
    from synthlift.data.decode import UnusableImageError, decode_stream

    try:
        with _stream_of(picture) as stream:
            return decode_stream(stream, max_pixels=max_pixels, white=white).pixels
    except UnusableImageError as error:
        return error.reason


def _stream_of(picture: str) -> BinaryIO:
    if picture.startswith(INLINE):
        return io.BytesIO(base64.b64decode(picture.removeprefix(INLINE)))
    return Path(picture).open("rb")


def _named(classifier: Classifier, row: Float32) -> dict[str, float]:
    rounded = [round(probability, 6) for probability in row.tolist()]
    return dict(zip(classifier.facts.classes, rounded, strict=True))


def _seen(judge: Classifier | None, images: Sequence[UInt8]) -> list[dict[str, Any] | None]:
    """For each image the class that a classifier sees, and how surely; None without one."""
    import numpy as np

    from synthlift.api.classifying import as_trained

    if judge is None:
        return [None] * len(images)
    rows = judge.probabilities(np.stack([as_trained(image, judge) for image in images]))
    classes = judge.facts.classes
    return [
        {"label": classes[int(row.argmax())], "probability": round(float(row.max()), 6)}
        for row in rows
    ]


def _blocks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items a few at a time: as many as come within a moment, so that none is kept waiting."""
    block: list[Item] = []
    began = time.monotonic()
    for item in items:
        block.append(item)
        if len(block) == BLOCK or time.monotonic() - began > MOMENT:
            yield block
            block, began = [], time.monotonic()
    if block:
        yield block


def told(error: Exception) -> dict[str, str]:
    """An error for the other side, in its three parts; never a trace."""
    if isinstance(error, InputError):
        return {"given": error.given, "rule": error.rule, "remedy": error.remedy}
    if isinstance(error, SynthliftError):
        return {"given": str(error).splitlines()[0], "rule": "", "remedy": ""}
    print(f"{type(error).__name__}: {error}", file=sys.stderr)
    return {
        "given": "something unexpected happened while computing",
        "rule": "",
        "remedy": "try again; the terminal of the server says more",
    }


# ── the process ───────────────────────────────────────────────────────────────────────────────


def _read(stream: BinaryIO, waiting: queue.SimpleQueue[bytes]) -> None:
    for line in stream:
        waiting.put(line)
    waiting.put(b"")


def serve(requests: BinaryIO, events: TextIO, *, device: str) -> None:
    """Answer until stdin ends. What is told of together is written at once."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()

    def send(event: Mapping[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")

    worker = Worker(send, device=device)
    importlib.import_module("synthlift.vision.prediction")  # seconds, while nobody waits for it
    while True:
        taken = [] if worker.busy else [waiting.get()]
        while not waiting.empty():
            taken.append(waiting.get())
        if b"" in taken:
            return
        worker.take([json.loads(line) for line in taken])
        events.flush()
        if worker.busy:
            worker.go_on()
            events.flush()


def main() -> None:
    """The entry point; what libraries print must not mix with the events."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, events, device=sys.argv[1] if len(sys.argv) > 1 else "cpu")


if __name__ == "__main__":
    main()
