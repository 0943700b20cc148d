"""What the embedded pipeline learns from few images, and makes of images: how it is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from synthlift.drawings import WORDS, Traits
from synthlift.embedded import EMBEDDED
from synthlift.generators.image_to_image.config import ImageToImageConfig
from synthlift.generators.image_to_image.generator import ImageToImageGenerator
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageFitted, TextToImageGenerator
from synthlift.types import FitInputs, ImageSet, LockedTest, RunContext, SampleRequest, UInt8
from tests.judges import Judges, fresh_drawings
from tests.styles import StyleJudge, chequered, one_of_each

STYLED = "a chequered {thickness} {colour} {label} {slant}"
PLAIN = "a {thickness} {colour} {label} {slant} on a {background} background"
DRAWS = {"model": EMBEDDED, "sampler_steps": 15, "guidance_scale": 2.0, "micro_batch": 16}
OTHER = 5
"""So many classes further on is the one that a prompt asks for."""
THING = "blicket"
SHOWN = {"word": "star", "colour": "purple", "thickness": "thick", "background": "navy"}
LORA = {
    "kind": "lora",
    "rank": 16,
    "layers": "all",
    "text_encoder": True,
    "learning_rate": 3e-3,
    "readings": 0,
}


def said(template: str, one: Traits) -> str:
    return template.format(label=one.word, **one.as_attributes())


def inputs(pictures: UInt8, labels: Sequence[int], *, classes: Sequence[str]) -> FitInputs:
    """Of a fit; no image watches it."""
    ids = [f"drawing-{i}" for i in range(len(labels))]
    train = ImageSet.from_arrays(pictures, np.array(labels, np.int64), classes, ids=ids)
    none = train.ids[:0]
    return FitInputs(
        train=train,
        validation=train.subset(np.arange(0)),
        test=LockedTest(ids=none, groups=none, hashes=none),
    )


def fit(settings: dict[str, Any], given: FitInputs, folder: Path) -> TextToImageFitted:
    """Fit as a study's stage does."""
    torch.set_num_threads(1)
    config = TextToImageConfig.model_validate({**DRAWS, **settings})
    return TextToImageGenerator(config).fit(given, run=RunContext(folder=folder, seed=1))


def drawn(fitted: TextToImageFitted, prompts: Sequence[str], *, seed: int) -> UInt8:
    requests = [
        SampleRequest(index=i, label=0, seed=seed + i, params={"prompt": text})
        for i, text in enumerate(prompts)
    ]
    return np.concatenate([batch.pixels for batch in fitted.sample(requests)])


def style_learnt(
    folder: Path, *, seed: int, count: int, judge: StyleJudge, adapt: Mapping[str, Any]
) -> dict[str, float]:
    """Shares in the style and of the right class, before and after 16 images were learnt.

    Args:
        folder: for check-points.
        seed: of the images that are learnt, and of what is drawn.
        count: pictures that are judged, of each kind.
        judge: tells the style and the classes.
        adapt: settings of the adaptation beside those of ``LORA``.
    """
    plain, shown = one_of_each(seed=seed)
    # The texts of 16 classes, each with what its one image shows.
    own = {one.word: said(STYLED, replace(one, word="{label}")) for one in shown}
    settings = {"class_prompts": own}
    given = inputs(chequered(plain, seed=seed), range(len(WORDS)), classes=WORDS)
    before = fit(settings, given, folder / "before")
    after = fit({**settings, "adapt": {**LORA, **adapt}}, given, folder / "after")
    asked = fresh_drawings(count, seed=seed + 2)[1]
    found = {}
    for name, fitted in (("before", before), ("after", after)):
        for kind, template in (("styled", STYLED), ("plain", PLAIN)):
            made = drawn(fitted, [said(template, one) for one in asked], seed=1000 * seed)
            found[f"{name}, {kind}: chequered"] = judge.chequered(made)
            found[f"{name}, {kind}: class"] = judge.right(made, asked)
    return found


def plain_prompts(count: int, *, seed: int) -> list[str]:
    """Texts without the word for the style, to be drawn as before."""
    return [said(PLAIN, one) for one in fresh_drawings(count, seed=seed)[1]]


def word_learnt(
    folder: Path, *, seed: int, count: int, steps: int, judges: Judges
) -> dict[str, float]:
    """Shares with the traits of a thing that was shown 16 times, before and after."""
    pictures, _ = fresh_drawings(16, seed=seed, held_out=False, shown=SHOWN)
    inversion = {
        "kind": "textual_inversion",
        "vectors": 2,
        "learning_rate": 1e-2,
        "steps": steps,
        "readings": 0,
    }
    settings = {"prompt": "a photo of a {label}", "names": {THING: "drawing"}}
    found: dict[str, float] = {}
    for name, further in (("before", {}), ("after", {"adapt": inversion})):
        given = inputs(pictures, [0] * len(pictures), classes=(THING,))
        fitted = fit({**settings, **further}, given, folder / name)
        wanted = [SampleRequest(index=i, label=0, seed=1000 * seed + i) for i in range(count)]
        made = np.concatenate([batch.pixels for batch in fitted.sample(wanted)])
        right = judges.right(made, fresh_drawings(count, seed=seed, shown=SHOWN)[1])
        found |= {f"{name}: {trait}": float(right[trait].mean()) for trait in SHOWN}
        found[f"{name}: all"] = float(np.all([right[trait] for trait in SHOWN], axis=0).mean())
    return found


def classes_after(
    folder: Path, *, seed: int, each: int, strengths: Sequence[float], judges: Judges
) -> tuple[list[float], list[float]]:
    """Shares that show the class of the image, and that of the prompt, at each strength.

    The prompt says what the image shows, but for another class; ``each`` images of every class.
    """
    torch.set_num_threads(1)
    made = [
        fresh_drawings(each, seed=1000 * seed + place, shown={"word": word})
        for place, word in enumerate(WORDS)
    ]
    pictures, shown = np.concatenate([one[0] for one in made]), [t for one in made for t in one[1]]
    own = [WORDS.index(one.word) for one in shown]
    other = [(label + OTHER) % len(WORDS) for label in own]
    asked = [replace(one, word=WORDS[label]) for one, label in zip(shown, other, strict=True)]
    config = ImageToImageConfig.model_validate({**DRAWS, "method": "between_classes"})
    given = inputs(pictures, own, classes=WORDS)
    fitted = ImageToImageGenerator(config).fit(given, run=RunContext(folder=folder, seed=1))
    kept, turned = list[float](), list[float]()
    for strength in strengths:
        requests = [
            SampleRequest(
                index=i,
                label=label,
                seed=1000 * seed + i,
                sources=(str(given.train.ids[i]),),
                params={"strength": strength, "prompt": said(PLAIN, one)},
            )
            for i, (label, one) in enumerate(zip(other, asked, strict=True))
        ]
        changed = np.concatenate([batch.pixels for batch in fitted.sample(requests)])
        kept.append(float(judges.right(changed, shown)["word"].mean()))
        turned.append(float(judges.right(changed, asked)["word"].mean()))
    return kept, turned
