"""Images by any text-to-image pipeline of diffusers, from a local folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.prompts import prompt_for, require_known
from synthlift.generators.text_to_image.config import TextToImageConfig, hash_pipeline
from synthlift.seeds import generator_for
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


class TextToImageGenerator(Generator):
    """Prompts a pretrained pipeline; nothing is learnt but which attributes go together."""

    def __init__(self, config: TextToImageConfig) -> None:
        self.config = config

    def fit(self, inputs: FitInputs, *, run: RunContext) -> TextToImageFitted:
        """Note classes, attribute values and how often they meet.

        Raises:
            InputError: no labelled image, or a placeholder that no attribute fills.
        """
        train = inputs.train
        require_known(self.config.prompt, tuple(train.attributes))
        vocabulary = Vocabulary.of(train, self.config.attributes)
        columns = [train.attributes[name].tolist() for name in vocabulary.attributes]
        rows = zip(train.labels.tolist(), *columns, strict=True)
        together = Counter(row for row in rows if row[0] >= 0)
        facts = {
            **vocabulary.as_json(),
            "config": self.config.model_dump(mode="json"),
            "image_shape": list(train.image_shape),
            "together": [[list(row), count] for row, count in sorted(together.items())],
        }
        return TextToImageFitted(facts, device=run.device)

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

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the study, to which images are brought."""
        height, width, channels = self._facts["image_shape"]
        return height, width, channels

    def prompt(self, request: SampleRequest) -> str:
        """The words that a request is drawn from.

        Attributes that it leaves open are taken, by its seed, from a training image of its class.
        """
        label = self._vocabulary.classes[request.label]
        words = self._config.names.get(label, label.replace("_", " "))
        attributes = {**self._companions(request), **request.attributes}
        return prompt_for(self._config.prompt, label=words, attributes=attributes)

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield batches of at most ``micro_batch`` images, in order of the requests.

        Raises:
            InputError: a class, attribute or value without training images; the pipeline is gone,
                is another one, or makes no images from text.
        """
        for request in requests:
            self._vocabulary.require(request)
        size = self._config.micro_batch
        for start in range(0, len(requests), size):
            members = requests[start : start + size]
            prompts = [self.prompt(request) for request in members]
            yield ImageBatch(
                pixels=self._draw(prompts, [request.seed for request in members]),
                labels=np.array([request.label for request in members], dtype=np.int64),
                prompts=tuple(prompts),
            )

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

    @cached_property
    def _pipeline(self) -> Any:
        try:
            from diffusers import AutoPipelineForText2Image
            from diffusers.utils import logging as diffusers_logging
            from transformers.utils import logging as transformers_logging
        except ImportError as error:
            raise InputError(
                f"text-to-image needs a package that is not installed: {error.name}",
                rule="text-to-image pipelines come with the extra 'text2image'",
                remedy="pip install 'synthlift[text2image]'",
            ) from None
        for chatty in (diffusers_logging, transformers_logging):
            chatty.disable_progress_bar()
        config = self._config
        if hash_pipeline(Path(config.model)) != config.model_sha256:
            raise InputError(
                f"the text-to-image model '{config.model}' is another one than was planned with",
                rule=f"its files must hash to {config.model_sha256}",
                remedy="put the former model back, or run the study anew with --replan",
            )
        try:
            pipeline = AutoPipelineForText2Image.from_pretrained(
                config.model,
                dtype=getattr(torch, config.dtype),
                use_safetensors=True,
                local_files_only=True,
            )
        except (ValueError, OSError) as error:
            raise InputError(
                f"the text-to-image model '{config.model}' cannot be opened: {error}",
                rule="it is a complete pipeline that makes images from text",
                remedy="compare the folder with model_index.json; download it again if parts miss",
            ) from None
        pipeline.set_progress_bar_config(disable=True)
        return pipeline.to(self._device)

    @torch.inference_mode()
    def _draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> UInt8:
        """Draw one chunk, uint8 [n, H, W, C]; always computed at its full size."""
        config, count = self._config, len(prompts)
        filled = [*prompts, *[prompts[-1]] * (config.micro_batch - count)]
        noise = [*seeds, *[seeds[-1]] * (config.micro_batch - count)]
        side = {} if config.size == "auto" else {"height": config.size, "width": config.size}
        negative = {"negative_prompt": [config.negative_prompt] * len(filled)}
        drawn = self._pipeline(
            prompt=filled,
            **(negative if config.negative_prompt else {}),
            guidance_scale=config.guidance_scale,
            num_inference_steps=config.sampler_steps,
            # One stream an image, on the processor: the same pixels in any batch.
            generator=[torch.Generator("cpu").manual_seed(seed % 2**63) for seed in noise],
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
