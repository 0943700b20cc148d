"""Drawing with a pretrained pipeline: what text-to-image and image-to-image have in common."""

from __future__ import annotations

import copy
import json
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

import numpy as np
import torch

from synthlift.errors import InputError
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.pipelines import saving
from synthlift.generators.pipelines.abilities import Task
from synthlift.generators.pipelines.adapter_settings import spelling
from synthlift.generators.pipelines.adapters import (
    Adapter,
    acting,
    activate,
    dress,
    given_weights,
)
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.memory import TextMemory, remember_texts
from synthlift.generators.pipelines.noting import APART, every_prompt, remarks_on, wording_of
from synthlift.generators.pipelines.opening import (
    LIBRARIES,
    guidance,
    open_pipeline,
    own_noise,
    sides,
    turned_to,
)
from synthlift.generators.pipelines.parameters import NUMBERS, check_params
from synthlift.generators.pipelines.speeding import speed_up
from synthlift.generators.pipelines.step_cache import StepCache
from synthlift.generators.pipelines.wishes import (
    Drawn,
    Settings,
    Sheet,
    Wish,
    brought_to,
    companions,
    drawn_anew,
    in_channels,
    is_black,
    opaque,
    originals_of,
    together,
)
from synthlift.spec.provenance import LICENCE
from synthlift.types import FittedGenerator, Float32, ImageBatch, SampleRequest, UInt8
from synthlift.weights.quiet import quiet

FINER = "set dtype: float32, or else "
UNTOLD = ("together", "licence_text", APART)
"""Facts that no report shows."""

C = TypeVar("C", bound=PipelineConfig)


class Opened(NamedTuple):
    """A pipeline on its device that wears its adapters.

    Attributes:
        pipeline: for one task.
        texts: what its text encoders remember.
        steps: what its network remembers; None = nothing.
        alone: whether it has no parts beside its own.
    """

    pipeline: Any
    texts: tuple[TextMemory, ...]
    steps: StepCache | None
    alone: bool


class PipelineFitted(FittedGenerator, Generic[C]):
    """A pipeline with its prompts.

    Args:
        facts: settings, classes, attribute values and how often they meet, JSON-able.
        config: the settings among them.
        adapter: what was learnt of the training images, if anything was.
        device: torch device string.
    """

    file: ClassVar[str]
    """Under which name the facts are saved."""
    numbers: ClassVar[Mapping[str, tuple[float, float]]] = NUMBERS
    """Parameters that a request may set, with their ranges."""

    def __init__(
        self,
        facts: Mapping[str, Any],
        config: C,
        *,
        adapter: Adapter | None = None,
        device: str = "cpu",
    ) -> None:
        self._facts, self._device, self._config = dict(facts), device, config
        self._adapter, self._savings = adapter, 0
        # Shared with copies that compute fewer images together.
        self._pipelines: dict[tuple[Task, int], Opened] = {}
        self._vocabulary = Vocabulary.from_json(facts)
        self._spelled = spelling(config.adapt, facts.get("words", {}))
        self._wording = wording_of(config, seed=facts["seed"], words=facts.get("words"))

    @property
    @abstractmethod
    def task(self) -> Task:
        """What the pipeline is opened for."""

    @abstractmethod
    def _call(self, wishes: Sequence[Wish], settings: Settings, told: dict[str, Any]) -> Any:
        """Let the pipeline draw; ``told`` is what every kind of pipeline takes.

        Returns:
            float [n, H, W, 3] in [0, 1], at the pipeline's size.
        """

    def _origin(self, wish: Wish) -> str:
        """Where an image comes from, in words for its provenance; "" = from words alone."""
        del wish
        return ""

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

    def can_draw(self, request: SampleRequest) -> bool:
        """Whether there is all that an image of this request needs."""
        del request
        return True

    def every_prompt(self) -> Iterator[tuple[str, str]]:
        """Class and prompt of every combination of words with the attributes seen in training."""
        return every_prompt(self._wording, self._vocabulary, self._facts["together"])

    def sample(self, requests: Sequence[SampleRequest]) -> Iterator[ImageBatch]:
        """Yield images in order of the requests, those of equal settings drawn together.

        A request may set ``prompt``, ``negative_prompt``, ``guidance_scale`` and
        ``sampler_steps`` in its ``params``. An image that comes out black – what a safety checker
        does to images that it objects to – is drawn anew, see :func:`drawn_anew`.

        Raises:
            InputError: a class, attribute or value without training images, or an unknown
                parameter; the pipeline is gone, is another one, or makes no images from text.
        """
        for request in requests:
            self._vocabulary.require(request)
            check_params(request, numbers=self.numbers)
        kept = bool(requests) and self._config.keep_originals
        window = together(self.micro_batch, sides=self._native_size() if kept else (0, 0))
        for start in range(0, len(requests), window):
            yield self._window(requests[start : start + window])

    def remarks(self, params: Mapping[str, Any]) -> list[str]:
        """See :class:`~synthlift.generators.prompts.Remarks`."""
        return remarks_on(self._config, params, facts=self._facts)

    @property
    def micro_batch(self) -> int:
        """Images computed together, see :class:`~synthlift.types.SamplesInChunks`."""
        return self._config.fixed_chunk()

    def with_micro_batch(self, micro_batch: int) -> Self:
        """The same generator computing so many images together."""
        other = copy.copy(self)
        other._config = self._config.model_copy(update={"micro_batch": micro_batch})
        return other

    def opened(self) -> Self:
        """See :class:`~synthlift.opening.OpensFirst`."""
        other = self.uncompiled()
        other._ready()
        return other

    def uncompiled(self) -> Self:
        """The same generator, its network as it is: compiling takes minutes, for each chunk."""
        if not self._config.compile:
            return self
        other = copy.copy(self)
        other._config = self._config.model_copy(update={"compile": False})
        other._pipelines = {}
        return other

    @property
    def ways_to_save(self) -> tuple[str, ...]:
        """See :class:`~synthlift.savings.SavesMemory`."""
        return saving.ways(self._device)

    def with_savings(self, savings: int) -> Self:
        """The same generator drawing in less memory."""
        other = copy.copy(self)
        other._savings = savings
        return other

    def save(self, folder: Path) -> None:
        """Write what was noted and learnt; the pipeline stays where it is, named by its hash."""
        folder.mkdir(parents=True, exist_ok=True)
        if self._adapter is not None:
            self._adapter.save(folder)
        if terms := self._facts.get("licence_text"):
            (folder / LICENCE).write_text(terms, encoding="utf-8")
        (folder / self.file).write_text(json.dumps(self._facts, indent=1), encoding="utf-8")

    def facts(self) -> dict[str, Any]:
        """Settings, classes and counts, for the report."""
        return {name: value for name, value in self._facts.items() if name not in UNTOLD}

    def _companions(self, request: SampleRequest) -> dict[str, str]:
        names = tuple(self._vocabulary.attributes)
        return companions(request, names=names, together=self._facts["together"])

    def _settings(self, request: SampleRequest) -> Settings:
        """What a request's images are computed with, beside its words; equal ones go together."""
        config, params = self._config, request.params
        scale = float(params.get("guidance_scale", config.guidance_scale))
        steps = int(params.get("sampler_steps", config.sampler_steps))
        adapter, avoids = acting(config, request.label), bool(self._avoided(request))
        return Settings(scale, steps, adapter, avoids)

    def _avoided(self, request: SampleRequest) -> str:
        config, label = self._config, self._vocabulary.classes[request.label]
        usual = config.class_negative_prompts.get(label, config.negative_prompt)
        return str(request.params.get("negative_prompt", usual))

    def _window(self, requests: Sequence[SampleRequest]) -> ImageBatch:
        alike: dict[Settings, list[int]] = defaultdict(list)
        for place, request in enumerate(requests):
            alike[self._settings(request)].append(place)
        size, places, drawn = self.micro_batch, list[int](), list[Drawn]()
        for settings, members in alike.items():
            for start in range(0, len(members), size):
                chunk = members[start : start + size]
                places += chunk
                drawn += self._chunk([requests[place] for place in chunk], settings)
        order = np.argsort(places)
        return self._batch(requests, [drawn[row] for row in order])

    def _batch(self, requests: Sequence[SampleRequest], drawn: Sequence[Drawn]) -> ImageBatch:
        origins = tuple(one.origin for one in drawn)
        wishes = [one.wish for one in drawn]
        return ImageBatch(
            pixels=np.stack([one.pixels for one in drawn]),
            labels=np.array([request.label for request in requests], dtype=np.int64),
            soft_labels=self._soft_labels(wishes),
            masks=self._masks(wishes),
            prompts=tuple(wish.prompt for wish in wishes),
            origins=origins if any(origins) else None,
            redrawn=sum(one.tries > 0 for one in drawn),
            black=sum(one.black for one in drawn),
            originals=originals_of(drawn),
        )

    def _chunk(self, members: Sequence[SampleRequest], settings: Settings) -> list[Drawn]:
        wishes = [
            Wish(request, self.prompt(request), self._avoided(request), request.seed)
            for request in members
        ]
        origins = [self._origin(wish) for wish in wishes]
        return drawn_anew(wishes, lambda some: self._draw(some, settings), origins=origins)

    def _soft_labels(self, wishes: Sequence[Wish]) -> Float32 | None:
        """Class probabilities [n, K] of images that mix classes; None = they do not."""
        del wishes
        return None

    def _masks(self, wishes: Sequence[Wish]) -> UInt8 | None:
        """Masks [n, H, W] of what was drawn; None = not known."""
        del wishes
        return None

    @property
    def _pipeline(self) -> Any:
        return self._ready().pipeline

    def _ready(self) -> Opened:
        """The pipeline for this task; one that is open for another shares its models with it."""
        if (key := (self.task, self._savings)) not in self._pipelines:
            if any(savings for _, savings in [key, *self._pipelines]):
                self._pipelines.clear()  # two would take twice the memory
            self._pipelines[key] = self._open(self._parts())
        return self._pipelines[key]

    def _open(self, parts: Mapping[str, Any]) -> Opened:
        other = next((one for one in self._pipelines.values() if one.alone), None)
        if other is not None and not parts:
            turned = turned_to(self.task, other.pipeline, model=self._config.model)
            return other._replace(pipeline=turned)
        opened = open_pipeline(self._config, task=self.task, parts=parts)
        dress(opened, self._config, self._adapter)
        # Before parts move: they stay what they are wherever they lie.
        texts = remember_texts(opened)
        compiles = not self._savings
        steps = speed_up(opened, self._config, device=self._device, compiles=compiles)
        side = min(sides(opened, asked=self._config.size))
        ready = saving.place(opened, self._device, savings=self._savings, side=side)
        return Opened(ready, texts, steps, alone=not parts)

    def _parts(self) -> dict[str, Any]:
        """Parts that the pipeline is opened with beside its own, by name."""
        return {}

    def _let_act(self, adapter: str) -> None:
        """Let the LoRA files act, and of the learnt adapters the one of this name; forget steps."""
        pipeline, texts, steps, _ = self._ready()
        for memory in texts:
            memory.acting = adapter
        if steps is not None:
            steps.begin()
        if self._config.loras or adapter:
            learnt = {adapter: 1.0} if adapter else {}
            activate(pipeline, {**given_weights(self._config.loras), **learnt})

    def _native_size(self) -> tuple[int, int]:
        """Height and width in pixels at which the pipeline draws."""
        return sides(self._pipeline, asked=self._config.size)

    def _draw(self, wishes: Sequence[Wish], settings: Settings) -> Sheet:
        """Draw one chunk at the study's size, uint8 [n, H, W, C]."""
        drawn = self._drawn(wishes, settings)
        black, whole = is_black(drawn), np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8)
        fitted = [brought_to(self.image_shape, image) for image in whole]
        # What stays black is handed on as it is, so that filters and people see it.
        finished = [
            image if dark else self._finished(image, wish)
            for image, dark, wish in zip(fitted, black, wishes, strict=True)
        ]
        kept = in_channels(whole, self.image_shape[2]) if self._keeps(whole) else None
        return Sheet(np.stack(finished), black, kept)

    def _keeps(self, drawn: UInt8) -> bool:
        """Whether images [n, h, w, 3] are kept as they were drawn, which is larger than wanted."""
        height, width, _ = self.image_shape
        return self._config.keep_originals and drawn.shape[1] * drawn.shape[2] > height * width

    def _finished(self, pixels: UInt8, wish: Wish) -> UInt8:
        """What is made of an image that was drawn, uint8 [H, W, C] at the study's size."""
        del wish
        return pixels

    @torch.inference_mode()
    def _drawn(self, wishes: Sequence[Wish], settings: Settings) -> Float32:
        """One chunk at the pipeline's size, [n, h, w, 3]; always computed at its full size."""
        config = self._config
        padded = [*wishes, *[wishes[-1]] * (self.micro_batch - len(wishes))]
        self._let_act(settings.adapter)
        told = {
            "prompt": [self._spelled(wish.prompt) for wish in padded],
            **guidance(
                self._pipeline,
                scale=settings.guidance_scale,
                avoided=[wish.avoided for wish in padded],
                avoids=settings.avoids,
            ),
            "num_inference_steps": settings.sampler_steps,
            **own_noise(self._pipeline),
            # One stream an image, on the processor: the same pixels in any batch.
            "generator": [torch.Generator("cpu").manual_seed(wish.seed % 2**63) for wish in padded],
            "output_type": "np",
        }
        try:
            with quiet(*LIBRARIES):
                drawn = opaque(self._call(padded, settings, told)[: len(wishes)])
        except ValueError as error:
            raise InputError(
                f"the text-to-image model '{config.model}' cannot draw so: "
                + str(error).partition("\n")[0],
                rule="a pipeline takes the sizes and numbers of steps that its network and its "
                f"scheduler were made for; these were {settings.sampler_steps} steps",
                remedy="set 'size', 'sampler_steps' or 'scheduler' otherwise",
            ) from error
        if not np.isfinite(drawn).all():
            raise InputError(
                f"the text-to-image model '{config.model}' drew numbers that are no colours",
                rule=f"images are finite; the number format was {config.dtype}",
                remedy=f"{'' if config.dtype == 'float32' else FINER}download the model again",
            )
        return drawn
