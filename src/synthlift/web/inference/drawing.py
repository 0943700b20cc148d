"""Drawing what is asked for, with what a classifier sees in it and what it resembles."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from synthlift.errors import InputError
from synthlift.web.inference.decoding import Tell, decode_picture
from synthlift.web.inference.explaining import NEAREST, References, likeness, png
from synthlift.web.inference.loaded import Loaded

if TYPE_CHECKING:
    from synthlift.api.drawing import Start
    from synthlift.api.kept_generators import Kept
    from synthlift.api.references import Reference
    from synthlift.types import UInt8
    from synthlift.vision.prediction import Classifier

BLOCK, MOMENT = 16, 0.25
"""Images that are judged together, and the seconds after which fewer are."""
Item = TypeVar("Item")
Request = Mapping[str, Any]


@dataclass(frozen=True)
class Means:
    """What a request is drawn and judged with.

    Attributes:
        kept: the generator.
        name: the class that it draws, by its own name.
        judge: says as which class an image is seen; None = nobody does.
        reference: training images to find the nearest among; None = there are none.
    """

    kept: Kept
    name: str
    judge: Classifier | None = None
    reference: Reference | None = None


class Drawer:
    """Draws with generators that it keeps loaded.

    Args:
        loaded: models that are loaded.
        references: training images of runs.
        classifier: opens one by its folder.
        send: writes what is told at once, rather than between two images.
        device: torch device string.
    """

    def __init__(
        self,
        loaded: Loaded,
        references: References,
        classifier: Callable[[str], Classifier],
        *,
        send: Callable[[Mapping[str, Any]], None],
        device: str,
    ) -> None:
        self.loaded, self.references, self.device = loaded, references, device
        self._classifier, self._send = classifier, send

    def draw(self, request: Request) -> Iterator[Mapping[str, Any]]:
        """One event an image; besides them what of the request has no effect, and what came out
        black, if anything."""
        from synthlift.api.pretrained import naming

        place = self._pipeline(request)
        if place is None:
            yield from self._events(request)
        else:
            with naming(place, request.get("model") or place.name):
                yield from self._events(request)

    def _pipeline(self, request: Request) -> Path | None:
        """Where the pipeline lies that a request is drawn with, if it is one."""
        from synthlift.api.images import GENERATORS, read_component
        from synthlift.api.pretrained import find_pretrained

        if request.get("model"):
            return find_pretrained(request["model"]).place
        facts = read_component(Path(request["run"]) / GENERATORS / request["generator"])
        return next(iter(_weights_beside(facts)), None)

    def _events(self, request: Request) -> Iterator[Mapping[str, Any]]:
        found = self._pretrained(request) if request.get("model") else self._of_run(request)
        with self.loaded.use(found[0]):
            yield from self._drawn(request, self._means(request, *found))

    def _drawn(self, request: Request, means: Means) -> Iterator[Mapping[str, Any]]:
        from synthlift.api.asking import remarks_on
        from synthlift.api.drawing import Wanted, drawn, told_of
        from synthlift.spec.blackened import Blackened
        from synthlift.spec.provenance import png_bytes

        out, kept, judge = Path(request["out"]), means.kept, means.judge
        start = None
        if request.get("picture"):
            start = _start(request, kept, judge, tell=self._tell(request["id"]))
        vain, blackened = remarks_on(kept, request["params"]), Blackened()
        if vain:
            yield {"event": "remarks", "remarks": vain}
        wanted = Wanted(
            kept,
            means.name,
            request["count"],
            request["seed"],
            request["attributes"],
            request["params"],
            start,
        )
        images = drawn(kept, wanted, halved=[], blackened=blackened)
        for number, block in enumerate(_blocks(images)):
            if not number:
                self.loaded.weigh(kept)  # a pipeline is opened by the first image
            seen = _seen(judge, [image[0] for _, image in block])
            near = _near(means, block, out.parent / NEAREST)
            for (one, image), view, like in zip(block, seen, near, strict=True):
                facts_told = told_of(kept, one, image)
                name = f"{one.index:05d}.png"
                (out / name).write_bytes(png_bytes(image[0], facts=facts_told))
                said = {"facts": facts_told, "seen": view, "near": like}
                yield {"event": "image", "file": name, **said}
        if blackened.words:
            yield {"event": "remarks", "remarks": [*vain, blackened.words]}

    def _tell(self, name: str) -> Tell:
        return lambda event: self._send({"id": name, "event": event})

    def _of_run(self, request: Request) -> tuple[Kept, str]:
        """The generator of a run, and the class that is asked for, which it must have learnt."""
        from synthlift.api.images import read_component
        from synthlift.api.kept_generators import kept_folder, open_generator
        from synthlift.api.origins import choose_classes, require_learnt

        run = Path(request["run"])
        place = kept_folder(run, request["generator"])
        assert place is not None, "the web process names runs that keep generators"
        facts = read_component(place)
        (label,) = choose_classes([request["label"]], facts["classes"])
        require_learnt(request["attributes"], place.name, facts)
        kept: Kept = self.loaded.get(
            place,
            lambda: open_generator(run, name=place.name, device=self.device),
            beside=_weights_beside(facts),
        )
        return kept, label

    def _pretrained(self, request: Request) -> tuple[Kept, str]:
        """A model without a study: nothing says what its pictures are, or what they resemble."""
        from synthlift.api.pretrained import THING, find_pretrained, open_pretrained

        name = request["model"]
        kept: Kept = self.loaded.get(
            find_pretrained(name).place, lambda: open_pretrained(name, device=self.device)
        )
        return kept, THING

    def _means(self, request: Request, kept: Kept, label: str) -> Means:
        """What goes with it to say what a run's models make of its images."""
        judge = self._classifier(request["judge"]) if request.get("judge") else None
        reference = None if judge is None else self.references.of(Path(request["run"]), judge)
        return Means(kept, label, judge, reference)


def _weights_beside(facts: Mapping[str, Any]) -> list[Path]:
    """Where a generator's pipeline lies, if it has one: what it keeps itself is small."""
    from synthlift.generators.pipelines.config import PipelineConfig
    from synthlift.generators.pipelines.files import pipeline_files
    from synthlift.registry import available

    known = available("generators").get(facts["kind"])
    if known is None or not issubclass(known.config, PipelineConfig):
        return []
    try:
        return [pipeline_files(facts["config"]["model"], facts["config"]["config"]).named]
    except InputError:  # it is gone, which is said when it is opened
        return []


def _near(means: Means, block: Sequence[Any], folder: Path) -> list[dict[str, Any] | None]:
    """For each image its nearest training image, which is written to a folder."""
    from synthlift.api.classifying import as_trained

    reference, judge = means.reference, means.judge
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


def _start(request: Request, kept: Kept, judge: Classifier | None, *, tell: Tell) -> Start:
    """The picture that a drawing starts from, read as pictures to classify are."""
    from synthlift.api.varying import start_of
    from synthlift.data.decode import WHITE_16_BIT, without_pillow_warnings

    picture, white = request["picture"], judge.facts.white if judge else WHITE_16_BIT
    with without_pillow_warnings():
        limit = picture["max_pixels"]
        pixels = decode_picture(picture["file"], white=white, max_pixels=limit, tell=tell)
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
