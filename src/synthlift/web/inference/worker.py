"""The process that decodes, classifies and draws: ``python -m synthlift.web.inference.worker``.

It reads requests from stdin and writes events to stdout, one JSON object a line. Requests to
classify that wait together are computed together; between two batches of a drawing they come first.
"""

from __future__ import annotations

import base64
import gc
import importlib
import json
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

from synthlift.errors import InputError, SynthliftError
from synthlift.web.inference.decoding import READ, READING, Tell, decode_picture
from synthlift.web.inference.drawing import BLOCK, Drawer, Request
from synthlift.web.inference.explaining import References, likeness, looked_at, png
from synthlift.web.inference.loaded import Loaded
from synthlift.web.memory import usual_limit

if TYPE_CHECKING:
    from synthlift.types import Float32, UInt8
    from synthlift.vision.prediction import Classifier

Send = Callable[[Mapping[str, Any]], None]
AT_ONCE = frozenset((READING, READ))
"""Events that do not wait for others to be written: who watches counts the seconds between them."""
KEPT_SHARE = 1 / 3
"""Of the memory, for the models that are kept: two such processes share it, and compute in it."""


class Worker:
    """What is loaded and what is being drawn.

    Args:
        send: writes one event.
        device: torch device string, or auto.
        memory_bytes: beyond which this process and its like are ended; None = the usual limit.
    """

    def __init__(self, send: Send, *, device: str, memory_bytes: int | None = None) -> None:
        from synthlift.study.devices import choose_device

        self.send, self.device = send, choose_device(device)
        self.loaded = Loaded(int(KEPT_SHARE * _memory_of(self.device, limit=memory_bytes)))
        self.references = References(self.loaded)
        self.drawer = Drawer(
            self.loaded, self.references, self._classifier, send=send, device=self.device
        )
        self._drawings: deque[tuple[Request, Iterator[Mapping[str, Any]]]] = deque()
        self._turn = ""

    @property
    def busy(self) -> bool:
        """Whether something is being drawn."""
        return bool(self._drawings)

    def take(self, requests: Sequence[Request]) -> None:
        """Answer what can be answered at once; begin drawings, end cancelled ones."""
        for request in requests:
            if request["do"] == "generate":
                self._drawings.append((request, self.drawer.draw(request)))
            elif request["do"] == "cancel":
                self._cancel(request["of"])
        classify = [request for request in requests if request["do"] == "classify"]
        if classify:
            self._classify(classify)

    def say_whose_turn(self) -> None:
        """Tell which drawing is next, where it is another than before: it may take minutes."""
        name = self._drawings[0][0]["id"]
        if name != self._turn:
            self._turn = name
            self.send({"id": name, "event": "turn"})

    def go_on(self) -> None:
        """One image of the next drawing; drawings take turns."""
        request, events = self._drawings.popleft()
        name = request["id"]
        try:
            event = next(events, None)
        except Exception as error:
            self.send({"id": name, "event": "failed", "error": told(error, request)})
            return
        if event is None:
            self.send({"id": name, "event": "done"})
            return
        self.send({"id": name, **event})
        self._drawings.append((request, events))

    def _cancel(self, name: str) -> None:
        for drawing in list(self._drawings):
            if drawing[0]["id"] == name:
                self._drawings.remove(drawing)
                self.send({"id": name, "event": "cancelled"})

    # ── classifying ───────────────────────────────────────────────────────────────────────────

    def _classifier(self, folder: str) -> Classifier:
        from synthlift.api.classifying import load_plugins_for
        from synthlift.vision.batching import sized
        from synthlift.vision.prediction import load_classifier

        path = Path(folder)

        def load() -> Classifier:
            load_plugins_for(path)
            return sized(load_classifier(path, device=self.device))

        return self.loaded.get(path, load)

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
                    tell = partial(self._tell, request["id"])
                    answers[request["id"]] = _prepared(request, known, pictures, tell=tell)
                except Exception as error:
                    self._fail(request, error)
        asked = {request["id"]: request for request in requests}
        explained = {name: request for name, request in asked.items() if request.get("explain")}
        for model, items in pictures.items():
            items = [item for item in items if item[0] in answers]
            if not items:
                continue
            try:
                with threads_for(known[model]):
                    self._answer(known[model], model, items, answers, explained)
            except Exception as error:  # others, of other models, still get their answers
                for request_id in {item[0] for item in items}:
                    del answers[request_id]
                    self._fail(asked[request_id], error)
        for request_id, answer in answers.items():
            self.send({"id": request_id, "event": "done", **answer})

    def _tell(self, name: str, event: str) -> None:
        self.send({"id": name, "event": event})

    def _fail(self, request: Request, error: Exception) -> None:
        self.send({"id": request["id"], "event": "failed", "error": told(error, request)})

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


def _memory_of(device: str, *, limit: int | None) -> int:
    """Bytes that may be used: on a processor up to the limit, on another device all it has."""
    if device.startswith("cpu"):
        return usual_limit() if limit is None else limit
    from synthlift.study.device_memory import device_bytes

    return device_bytes(device)


def _prepared(
    request: Request,
    known: Mapping[str, Classifier],
    pictures: dict[str, list[tuple[str, int, UInt8]]],
    *,
    tell: Tell,
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
                decoded[facts.white] = decode_picture(
                    file, white=facts.white, max_pixels=limit, tell=tell
                )
            pixels = decoded[facts.white]
            if isinstance(pixels, str):
                found[-1]["problem"] = pixels
                break
            taken_as = (facts.white, facts.image_shape, facts.fit)
            if taken_as not in sized:
                sized[taken_as] = as_trained(pixels, known[model])
            pictures.setdefault(model, []).append((request["id"], place, sized[taken_as]))
    return {"pictures": found}


def _named(classifier: Classifier, row: Float32) -> dict[str, float]:
    rounded = [round(probability, 6) for probability in row.tolist()]
    return dict(zip(classifier.facts.classes, rounded, strict=True))


def told(error: Exception, request: Request) -> dict[str, str]:
    """An error for the other side, in its three parts; never a trace, nor where a run lies."""
    if isinstance(error, InputError):
        parts = {"given": error.given, "rule": error.rule, "remedy": error.remedy}
    elif isinstance(error, SynthliftError):
        parts = {"given": str(error).splitlines()[0], "rule": "", "remedy": ""}
    else:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return {
            "given": "something unexpected happened while computing",
            "rule": "",
            "remedy": "try again; the terminal of the server says more",
        }
    run = request.get("run")
    return {key: text.replace(run, Path(run).name) if run else text for key, text in parts.items()}


# ── the process ───────────────────────────────────────────────────────────────────────────────


def _read(stream: BinaryIO, waiting: queue.SimpleQueue[bytes]) -> None:
    for line in stream:
        waiting.put(line)
    waiting.put(b"")


def serve(requests: BinaryIO, events: TextIO, *, device: str, memory_bytes: int) -> None:
    """Answer until stdin ends. What is told of together is written at once."""
    waiting: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requests, waiting), daemon=True).start()

    def send(event: Mapping[str, Any]) -> None:
        events.write(json.dumps(event) + "\n")
        if event["event"] in AT_ONCE:
            events.flush()

    worker = Worker(send, device=device, memory_bytes=memory_bytes)
    gc.disable()  # what is imported stays: to look for garbage among it takes a fifth of the time
    importlib.import_module("synthlift.vision.prediction")  # seconds, while nobody waits for it
    gc.enable()
    while True:
        taken = [] if worker.busy else [waiting.get()]
        while not waiting.empty():
            taken.append(waiting.get())
        if b"" in taken:
            return
        worker.take([json.loads(line) for line in taken])
        if worker.busy:
            worker.say_whose_turn()
        events.flush()
        if worker.busy:
            worker.go_on()
            events.flush()


def main() -> None:
    """The entry point; what libraries print must not mix with the events."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ["DIFFUSERS_VERBOSITY"] = "error"  # its warnings repeat what was asked for
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _, device, memory_bytes = sys.argv
    serve(sys.stdin.buffer, events, device=device, memory_bytes=int(memory_bytes))


if __name__ == "__main__":
    main()
