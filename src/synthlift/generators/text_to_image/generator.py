"""Images by any text-to-image pipeline of diffusers, from a local folder."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.pipelines import open_pipeline
from synthlift.generators.text_to_image.tokens import lost_words
from synthlift.generators.wording import Wording, ambiguous
from synthlift.seeds import generator_for, seed_for
from synthlift.types import (
    FitInputs,
    FittedGenerator,
    Generator,
    ImageBatch,
    RunContext,
    SampleRequest,
    UInt8,
)

FACTS = "text_to_image.json"
REDRAWN = 3
MOST_CHECKED = 20_000
"""Prompts that are measured against the text encoder's limit."""
NUMBERS = {"guidance_scale": (0, 50), "sampler_steps": (1, 1000)}
TEXTS = ("prompt", "negative_prompt")


class Settings(NamedTuple):
    """What one call of the pipeline is made with."""

    guidance_scale: float
    sampler_steps: int


class TextToImageGenerator(Generator):
    """Prompts a pretrained pipeline; nothing is learnt but which attributes go together."""

    def __init__(self, config: TextToImageConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> TextToImageFitted:
        """Note classes, attribute values and how often they meet.

        Raises:
            InputError: no labelled image, or a placeholder that no attribute fills.
        """
        train, config = inputs.train, self.config
        wording = wording_of(config, seed=run.seed)
        wording.check(train.classes, tuple(train.attributes))
        vocabulary = Vocabulary.of(train, config.attributes)
        columns = [train.attributes[name].tolist() for name in vocabulary.attributes]
        rows = zip(train.labels.tolist(), *columns, strict=True)
        together = Counter(row for row in rows if row[0] >= 0)
        facts = {
            **vocabulary.as_json(),
            "config": config.model_dump(mode="json"),
            "seed": run.seed,
            "image_shape": list(train.image_shape),
            "together": [[list(row), count] for row, count in sorted(together.items())],
        }
        fitted = TextToImageFitted(facts, device=run.device)
        found = [*_ambiguities(wording, vocabulary), *_too_long(config, fitted)]
        return TextToImageFitted(
            {**facts, **({"warnings": found} if found else {})}, device=run.device
        )

    def load(self, folder: Path, *, device: str = "cpu") -> TextToImageFitted:
        """Read what was noted; the pipeline is opened when images are asked for."""
        return TextToImageFitted(json.loads((folder / FACTS).read_text("utf-8")), device=device)


class TextToImageFitted(FittedGenerator):
    """A pipeline with its prompts.

    Args:
        facts: settings, classes, attribute values and how often they meet, JSON-able.
        device: torch device string.
    """

    def __init__(self, facts: Mapping[str, Any], *, device: str = "cpu") -> None:
        self._facts, self._device = dict(facts), device
        self._config = TextToImageConfig.model_validate(facts["config"])
        self._vocabulary = Vocabulary.from_json(facts)
        self._wording = wording_of(self._config, seed=facts["seed"])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the study, to which images are brought."""
        height, width, channels = self._facts["image_shape"]
        return height, width, channels

    def prompt(self, request: SampleRequest) -> str:
        """The words that a request is drawn from.

        Attributes that it leaves open are taken, by its seed, from a training image of its class.
        """
        if said := request.params.get("prompt"):
            return str(said)
        label = self._vocabulary.classes[request.label]
        attributes = {**self._companions(request), **request.attributes}
        return self._wording.phrasing(label, request.index).says(attributes)

    def every_prompt(self) -> Iterator[tuple[str, str]]:
        """Class and prompt of every combination of words with the attributes seen in training."""
        names = tuple(self._vocabulary.attributes)
        for label, name in enumerate(self._vocabulary.classes):
            rows = [row[1:] for row, _ in self._facts["together"] if row[0] == label]
            for phrasing in self._wording.phrasings(name):
                for values in rows:
                    yield name, phrasing.says(dict(zip(names, values, strict=True)))

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield batches of at most ``micro_batch`` images, in order of the requests.

        A request may set ``prompt``, ``negative_prompt``, ``guidance_scale`` and
        ``sampler_steps`` in its ``params``. An image that comes out black – what a safety checker
        does to images that it objects to – is drawn anew from another seed, ``REDRAWN`` times at
        most, and its origin says so.

        Raises:
            InputError: a class, attribute or value without training images, or an unknown
                parameter; the pipeline is gone, is another one, or makes no images from text.
        """
        for request in requests:
            self._vocabulary.require(request)
            check_params(request)
        size = self._config.micro_batch
        for settings, group in groupby(requests, key=self._settings):
            every = list(group)
            for start in range(0, len(every), size):
                yield self._chunk(every[start : start + size], settings)

    @property
    def micro_batch(self) -> int:
        """Images computed together, see :class:`~synthlift.types.SamplesInChunks`."""
        return self._config.micro_batch

    def with_micro_batch(self, micro_batch: int) -> TextToImageFitted:
        """The same generator computing so many images together."""
        other = copy.copy(self)
        other._config = self._config.model_copy(update={"micro_batch": micro_batch})
        return other

    def save(self, folder: Path) -> None:
        """Write what was noted; the pipeline stays where it is, named by its hash."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FACTS).write_text(json.dumps(self._facts, indent=1), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """Settings, classes and counts, for the report."""
        return {name: value for name, value in self._facts.items() if name != "together"}

    def _companions(self, request: SampleRequest) -> dict[str, str]:
        names = list(self._vocabulary.attributes)
        rows = [
            (row[1:], count)
            for row, count in self._facts["together"]
            if row[0] == request.label
            and all(
                request.attributes.get(name, value) == value
                for name, value in zip(names, row[1:], strict=True)
            )
        ]
        if not names or not rows:
            return {}
        weights = np.array([count for _, count in rows], dtype=np.float64)
        draw = generator_for(request.seed, "attributes")
        chosen = rows[int(draw.choice(len(rows), p=weights / weights.sum()))][0]
        return dict(zip(names, chosen, strict=True))

    def _settings(self, request: SampleRequest) -> Settings:
        """What a request's images are computed with, beside its words; equal ones go together."""
        config, params = self._config, request.params
        scale = float(params.get("guidance_scale", config.guidance_scale))
        return Settings(scale, int(params.get("sampler_steps", config.sampler_steps)))

    def _avoided(self, request: SampleRequest) -> str:
        config, label = self._config, self._vocabulary.classes[request.label]
        usual = config.class_negative_prompts.get(label, config.negative_prompt)
        return str(request.params.get("negative_prompt", usual))

    def _chunk(self, members: Sequence[SampleRequest], settings: Settings) -> ImageBatch:
        prompts = [self.prompt(request) for request in members]
        avoided = [self._avoided(request) for request in members]
        pixels = self._draw(prompts, avoided, [one.seed for one in members], settings)
        origins = [""] * len(members)
        for again in range(1, REDRAWN + 1):
            black = [i for i, image in enumerate(pixels) if not image.any()]
            if not black:
                break
            pixels[black] = self._draw(
                [prompts[i] for i in black],
                [avoided[i] for i in black],
                [seed_for(members[i].seed, "drawn again", again) for i in black],
                settings,
            )
            for i in black:
                origins[i] = f"drawn anew, black before: {again}"
        return ImageBatch(
            pixels=pixels,
            labels=np.array([request.label for request in members], dtype=np.int64),
            prompts=tuple(prompts),
            origins=tuple(origins) if any(origins) else None,
        )

    @cached_property
    def _pipeline(self) -> Any:
        return open_pipeline(self._config, device=self._device)

    @torch.inference_mode()
    def _draw(
        self,
        prompts: Sequence[str],
        avoided: Sequence[str],
        seeds: Sequence[int],
        settings: Settings,
    ) -> UInt8:
        """Draw one chunk, uint8 [n, H, W, C]; always computed at its full size."""
        config, count = self._config, len(prompts)
        rows = [*range(count), *[count - 1] * (config.micro_batch - count)]
        side = {} if config.size == "auto" else {"height": config.size, "width": config.size}
        negative = {"negative_prompt": [avoided[row] for row in rows]}
        drawn = self._pipeline(
            prompt=[prompts[row] for row in rows],
            # Not every pipeline takes one; without any, none is told.
            **(negative if any(avoided) else {}),
            guidance_scale=settings.guidance_scale,
            num_inference_steps=settings.sampler_steps,
            # One stream an image, on the processor: the same pixels in any batch.
            generator=[torch.Generator("cpu").manual_seed(seeds[row] % 2**63) for row in rows],
            output_type="np",
            **side,
        ).images[:count]
        if not np.isfinite(drawn).all():
            raise InputError(
                f"the text-to-image model '{config.model}' drew numbers that are no colours",
                rule=f"images are finite; the number format was {config.dtype}",
                remedy="set dtype: float32",
            )
        return np.stack([self._fitted(image) for image in drawn])

    def _fitted(self, image: np.ndarray) -> UInt8:
        height, width, channels = self.image_shape
        pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
        picture = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
        resized = picture.resize((width, height), Image.Resampling.LANCZOS)
        return np.asarray(resized, dtype=np.uint8).reshape(height, width, channels)


def wording_of(config: TextToImageConfig, *, seed: int) -> Wording:
    """What the settings say about words."""
    return Wording(
        templates=config.prompt,
        own=config.class_prompts,
        names=config.names,
        synonyms=config.synonyms,
        phrases=config.phrases,
        every=config.combine == "all",
        seed=seed,
    )


def check_params(request: SampleRequest) -> None:
    """Refuse what a request may not set.

    Raises:
        InputError: an unknown parameter, or a value out of range.
    """
    for name, value in request.params.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        low, high = NUMBERS.get(name, (0, 0))
        fine = isinstance(value, str) if name in TEXTS else number and low <= value <= high
        if not (fine and name in (*NUMBERS, *TEXTS)):
            allowed = (f"{key} ({a} to {b})" for key, (a, b) in NUMBERS.items())
            raise InputError(
                f"request {request.index} sets '{name}' to {value!r}",
                rule="a request for an image from text may set: " + ", ".join([*TEXTS, *allowed]),
                remedy="correct or remove it",
            )


def _ambiguities(wording: Wording, vocabulary: Vocabulary) -> Iterator[str]:
    for label in vocabulary.classes:
        word = wording.words(label)[0]
        if meanings := ambiguous(word):
            yield (
                f"'{word}' means {meanings[0]} as well as {meanings[1]}, and the pipeline may draw "
                f"either; say which under data.names, such as {label}: '{word}, {meanings[0]}'"
            )


def _too_long(config: TextToImageConfig, fitted: TextToImageFitted) -> Iterator[str]:
    """A warning for each class whose longest prompt is cut by the text encoder."""
    prompts = dict.fromkeys(islice(fitted.every_prompt(), MOST_CHECKED))
    longest: dict[str, str] = {}
    for label, prompt in prompts:
        longest[label] = max(longest.get(label, ""), prompt, key=len)
    for prompt in longest.values():
        if lost := lost_words(Path(config.model), prompt):
            yield (
                f"the prompt '{prompt}' is longer than the text encoder reads: the words "
                f"'{lost}' are not seen"
            )
