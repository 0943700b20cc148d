"""Text-to-image pipelines that no study knows: those at hand, and opening one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.embedded import EMBEDDED, embedded_model
from synthlift.errors import InputError, nearest_name
from synthlift.weights import Shelf
from synthlift.weights.recognising import licence_of

if TYPE_CHECKING:
    from synthlift.api.kept_generators import Kept

KIND = "text_to_image"
THING = "picture"
"""The one class of a model that knows none; no image is said to be of it."""
PIPELINES = ("pipeline", "pipeline file")
"""Kinds of weights that draw by themselves."""
OWN_WORDS = (
    "It knows the digits from zero to nine, circle, square, triangle, star, cross and heart: in a "
    "colour, thin or thick, leaning left or right, on a black, white, grey or navy background."
)
OWN_LICENCE = "Apache-2.0"
OWN_SETTINGS = {"sampler_steps": 15, "micro_batch": 8}
"""Of the embedded pipeline: the steps that its figures were measured with, and few images at once,
so that the first ones are soon there."""
SIDE = 8
"""Of the blank image that is learnt nothing of; images are drawn at the pipeline's own size."""


@dataclass(frozen=True)
class Pretrained:
    """A pipeline at hand.

    Attributes:
        name: what to ask for it by: ``embedded``, or a name on the shelf.
        title: in words.
        about: what it can draw, a sentence; "" = nobody says.
        licence: as it states it; "" = it states none.
        place: its folder, or its one file.
    """

    name: str
    title: str
    about: str
    licence: str
    place: Path

    @property
    def settings(self) -> dict[str, Any]:
        """Of a generator that draws with it."""
        if self.name == EMBEDDED:
            return {"model": EMBEDDED, **OWN_SETTINGS}
        return {"model": str(self.place)}


def pretrained_models() -> list[Pretrained]:
    """The embedded pipeline, then those on the user's shelf; no weights are read."""
    own = embedded_model("text_to_image")
    title = "digits and shapes by words, comes with Synthlift"
    found = [
        Pretrained(entry.name, entry.name, "", entry.licence, Path(entry.path))
        for entry in Shelf().entries().values()
        if entry.kind in PIPELINES and entry.name != EMBEDDED and Path(entry.path).exists()
    ]
    return [Pretrained(EMBEDDED, title, OWN_WORDS, OWN_LICENCE, own), *found]


def find_pretrained(name: str) -> Pretrained:
    """One of them.

    Raises:
        InputError: there is none of that name.
    """
    known = {one.name: one for one in pretrained_models()}
    if name not in known:
        raise InputError(
            f"no model is called '{name}'{nearest_name(name, known)}",
            rule=f"text-to-image models at hand: {', '.join(known)}",
            remedy="name one of them; synthlift models add PATH adds more",
        )
    return known[name]


def usual_settings(model: Pretrained) -> dict[str, float]:
    """Guidance and steps that a model draws with unless told otherwise; no weights are read."""
    from synthlift.generators.pipelines.files import pipeline_files
    from synthlift.generators.pipelines.suited import suited
    from synthlift.generators.text_to_image.config import TextToImageConfig

    names = ("guidance_scale", "sampler_steps")
    usual = {name: TextToImageConfig.model_fields[name].default for name in names}
    with naming(model.place, model.name):
        files = pipeline_files(model.settings["model"])
    own = suited(files.folder, named=files.named)
    said = {**usual, **({} if own is None else own._asdict()), **model.settings}
    return {name: float(said[name]) for name in names}


def open_pretrained(name: str, *, classes: Sequence[str] = (), device: str = "cpu") -> Kept:
    """Open a model as a generator of pictures at its own size.

    Args:
        name: as in :func:`pretrained_models`.
        classes: names that it draws as of classes; where there are none, it wants a prompt with
            each request.
        device: torch device string.

    Raises:
        InputError: there is none of that name, or it makes no images from text.
    """
    import numpy as np

    from synthlift.api.kept_generators import Kept
    from synthlift.generators.text_to_image.config import TextToImageConfig
    from synthlift.generators.text_to_image.generator import TextToImageGenerator
    from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext

    model = find_pretrained(name)
    names = tuple(classes) or (THING,)
    blanks = np.zeros((len(names), SIDE, SIDE, 3), np.uint8)
    images = ImageSet.from_arrays(blanks, range(len(names)), names)
    nothing = images.ids[:0]
    inputs = FitInputs(
        train=images,
        validation=images,
        test=LockedTest(ids=nothing, groups=nothing, hashes=nothing),
    )
    with naming(model.place, name), tempfile.TemporaryDirectory() as folder:
        config = TextToImageConfig.model_validate(model.settings)
        run = RunContext(folder=Path(folder), seed=0, device=device)
        fitted = TextToImageGenerator(config).fit(inputs, run=run).at_own_size()
    return Kept(
        name=name,
        kind=KIND,
        classes=names,
        seed=0,
        fitted=fitted,
        device=device,
        nameless=not classes,
    )


def facts_of(kept: Kept) -> dict[str, Any]:
    """What ``component.json`` says of a generator that :func:`open_pretrained` gave."""
    from synthlift.api.kept_generators import NAMELESS
    from synthlift.generators.text_to_image.config import TextToImageConfig

    config = TextToImageConfig.model_validate(find_pretrained(kept.name).settings)
    return {
        "kind": kept.kind,
        "config": config.model_dump(mode="json"),
        "classes": list(kept.classes),
        "image_shape": list(kept.fitted.image_shape),
        "fit": "",
        "seed": kept.seed,
        **({NAMELESS: True} if kept.nameless else {}),
    }


def licence_behind(config: Mapping[str, Any]) -> str:
    """What a generator's model states; that of the packaged one stands in no settings."""
    own = licence_of(embedded_model("text_to_image")) if config.get("model") == EMBEDDED else ""
    return config.get("licence") or own


@contextmanager
def naming(place: Path, name: str) -> Iterator[None]:
    """Errors say what a model is called, not where it lies: who asks may be at another machine."""
    try:
        yield
    except InputError as error:
        said = (error.given, error.rule, error.remedy)
        given, rule, remedy = (text.replace(str(place), name) for text in said)
        raise InputError(given, rule=rule, remedy=remedy) from error
