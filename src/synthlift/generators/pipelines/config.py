"""Settings of generators that draw with pipelines. No torch here: descriptors read it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from synthlift.embedded import EMBEDDED
from synthlift.errors import InputError
from synthlift.generators.pipelines.adapter_settings import (
    AnyAdaptation,
    LoraFile,
    lora_file,
    prior_of,
    require_adaptable,
)
from synthlift.generators.pipelines.few_step_loras import advised
from synthlift.generators.pipelines.files import hash_part, hash_pipeline, pipeline_files
from synthlift.generators.pipelines.footprint import USUAL_SIDE, pipeline_bytes
from synthlift.generators.pipelines.prompt_table import read_prompts
from synthlift.generators.pipelines.suited import (
    chunk,
    class_of,
    native_side,
    scheduler_of,
    suited,
)
from synthlift.generators.prompts import LABEL, placeholders
from synthlift.registry import ComponentConfig, OnePool
from synthlift.weights import locate
from synthlift.weights.hub import revision_of
from synthlift.weights.recognising import licence_of


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str | dict) else value


def _paths(loras: Any) -> list[str]:
    """Of LoRA files, however they are said; what is no such file is found wanting later."""
    listed = _listed(loras)
    said = listed if isinstance(listed, list | tuple) else ()
    found = [one.get("path") if isinstance(one, dict) else one for one in said]
    found = [one.path if isinstance(one, LoraFile) else one for one in found]
    return [one for one in found if isinstance(one, str) and one]


def _written(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            placeholders(text)
        except InputError as error:
            raise ValueError(f"{error.given}; {error.rule}") from None
        if not text.strip():
            raise ValueError("an empty text")
    return texts


Texts = Annotated[
    tuple[str, ...], Field(min_length=1), BeforeValidator(_several), AfterValidator(_written)
]
"""One text or several."""


class PipelineConfig(ComponentConfig):
    """Which pipeline draws, what it is told, and how it computes.

    Attributes:
        model: folder of a pipeline in the format of diffusers, weights as safetensors; or a name
            from ``synthlift models list``; or hf:OWNER/NAME, the only form that downloads. embedded
            = the small one of digits and shapes that comes with the package. A file of safetensors
            is a pipeline in one file, as Stable Diffusion was first published, or its network
            alone, as Flux was.
        config: of a pipeline in one file, the folder with its settings and tokenizers, as diffusers
            saves them, and with the parts that are not in the file; by default the settings of
            Stable Diffusion 1.x, 2.x, XL, 3 and 3.5, and of Flux.1.
        model_sha256: of its files; filled in, so that keys follow the content.
        licence, revision, own_scheduler: as the model states them; filled in, for reports and data
            cards.
        prompt: text with ``{label}`` and names of attributes or phrases in braces; several texts
            are used equally often.
        class_prompts: class → texts that take the place of ``prompt``; here ``{label}`` need not
            stand.
        prompt_table: CSV file with the columns label, prompt and, if need be, negative_prompt, a
            row for every text; read into ``class_prompts`` and ``class_negative_prompts``.
        negative_prompt: what images should not show, where the pipeline takes such a text.
        class_negative_prompts: class → text that takes its place.
        phrases: name → phrases, one of which takes the place of ``{name}``.
        combine: each = every text, word and phrase is used equally often, and they meet at random;
            all = every combination is used equally often.
        attributes: names of attributes that prompts use; those in the prompts are added.
        names: class name → words for the prompt; by default those under ``data.names``.
        synonyms: class → further words for it.
        guidance_scale: classifier-free guidance; near 2 trains better classifiers than 7.5. Where a
            pipeline was distilled for few steps, what its makers advise is the default.
        sampler_steps: steps from noise to image; likewise.
        scheduler: class of diffusers that takes the place of the pipeline's own scheduler;
            what its maker advises by default where a LoRA file is for few steps (*lcm*, *4step*).
        timestep_spacing: how its steps lie, where it can be told; "" = as the pipeline has it.
            trailing = they begin at pure noise, which models for few steps want; the default where
            a LoRA file is for few.
        size: side in pixels at which the pipeline draws; auto = its own. Images are then brought
            to the study's size.
        keep_originals: keep images as they were drawn, losslessly compressed, beside those at the
            study's size, where they are larger; exports then hand them over.
        dtype: number format of the network.
        compile: have torch compile the network and the decoder when the first images are drawn,
            which takes minutes and pays where many are; what is compiled is kept for later runs.
            Images differ in their last digits.
        cache_interval: compute the inner blocks of the network in every n-th step only, and use
            again what they gave in between (DeepCache, Ma 2024). Images differ; 1 = all blocks in
            all steps.
        decoder: folder of a tiny autoencoder of diffusers (``AutoencoderTiny``, such as TAESD) that
            takes the place of the pipeline's own; finer details are lost.
        decoder_sha256: of its files; filled in, so that keys follow the content.
        micro_batch: images computed together; fixed, so that pixels never depend on how requests
            are batched. Small pipelines draw more together by default, large ones 4. measured =
            what is fastest on this machine, timed with the fit; an adaptation then computes as many
            together as it does by default.
        loras: LoRA files that were trained elsewhere, each a path or ``{path, weight}``; all of
            them act.
        adapt: how the pipeline is adapted to the training images, ``{kind: lora}`` or
            ``{kind: textual_inversion}`` with their settings; by default it is not.
    """

    model: str
    config: str = ""
    model_sha256: str = ""
    licence: str = ""
    revision: str = ""
    own_scheduler: str = ""
    prompt: Texts = ("a photo of {label}",)
    class_prompts: dict[str, Texts] = Field(default_factory=dict)
    prompt_table: str = ""
    negative_prompt: str = ""
    class_negative_prompts: dict[str, str] = Field(default_factory=dict)
    phrases: dict[str, Texts] = Field(default_factory=dict)
    combine: Literal["each", "all"] = "each"
    attributes: tuple[str, ...] = ()
    names: dict[str, str] = Field(default_factory=dict)
    synonyms: dict[str, Texts] = Field(default_factory=dict)
    guidance_scale: float = Field(default=2.0, ge=0, le=50)
    sampler_steps: int = Field(default=30, ge=1, le=1000)
    scheduler: str = ""
    timestep_spacing: Literal["", "leading", "linspace", "trailing"] = ""
    size: Annotated[int, Field(ge=8, le=4096, multiple_of=8)] | Literal["auto"] = "auto"
    keep_originals: bool = True
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    compile: bool = False
    cache_interval: int = Field(default=1, ge=1, le=10)
    decoder: str = ""
    decoder_sha256: str = ""
    micro_batch: Annotated[int, Field(ge=1, le=256)] | Literal["measured"] = 4
    loras: Annotated[tuple[LoraFile, ...], BeforeValidator(_listed)] = ()
    adapt: AnyAdaptation | None = None

    def automatic_steps(self, *, examples: int, image_shape: tuple[int, int, int]) -> int | None:
        """Steps of the adaptation to this many images; what a planner cuts to a budget."""
        del image_shape
        adapt = self.adapt
        if adapt is None:
            return None
        return adapt.automatic_steps(examples) if adapt.steps == "auto" else adapt.steps

    def trained_with(self, **settings: Any) -> Mapping[str, Any]:
        """See :class:`~synthlift.registry.ComponentConfig`: those of the adaptation."""
        if self.adapt is None:
            return {}
        known = {name: v for name, v in settings.items() if name in type(self.adapt).model_fields}
        return {"adapt": {**self.adapt.model_dump(mode="json"), **known}} if known else {}

    def monitored_images(self, *, examples: int, image_shape: tuple[int, int, int]) -> int:
        """Images sampled while an adapter is trained."""
        del examples, image_shape
        if self.adapt is None:
            return 0
        looks = self.adapt.readings + 1 if self.adapt.readings else 0
        return looks * self.adapt.monitor_images

    def images_before(self) -> int:
        """Those of the prior, which all adapters share."""
        prior = prior_of(self.adapt)
        return 0 if prior is None else prior.images

    def models_learnt(self, classes: int) -> int:
        """Adapters: one, or one a class."""
        return classes if getattr(self.adapt, "per_class", False) else 1

    def device_bytes(self) -> int:
        """See :class:`~synthlift.registry.ComponentConfig`; twice as much where it is trained."""
        files = pipeline_files(self.model, self.config)
        drawing = pipeline_bytes(
            files,
            beside=self._weights_beside(),
            dtype=self.dtype,
            micro_batch=self.fixed_chunk(),
            side=None if self.size == "auto" else self.size,
        )
        return drawing if self.adapt is None else 2 * drawing

    def original_bytes(self, *, image_shape: tuple[int, int, int]) -> int:
        """See :class:`~synthlift.registry.ComponentConfig`."""
        side = self.size
        if side == "auto":
            folder = pipeline_files(self.model, self.config).folder
            side = native_side(folder) or USUAL_SIDE
        larger = side**2 > image_shape[0] * image_shape[1]
        return image_shape[2] * side**2 if self.keep_originals and larger else 0

    def fixed_chunk(self) -> int:
        """Images computed together where nothing was measured."""
        if self.micro_batch != "measured":
            return self.micro_batch
        by_size = chunk(pipeline_files(self.model, self.config).folder)
        return int(type(self).model_fields["micro_batch"].default) if by_size is None else by_size

    def shortened(self, steps: int) -> Mapping[str, Any]:
        """See :class:`~synthlift.registry.ComponentConfig`."""
        short = dict(super().shortened(steps))
        if "micro_batch" in short:
            short["micro_batch"] = self.fixed_chunk()
        if adapt := short.get("adapt"):
            # One adapter, so that steps are not shared out, and one chunk of the prior's images:
            # what all of them take is counted apart.
            one: dict[str, Any] = {"per_class": False} if "per_class" in adapt else {}
            if prior := adapt.get("prior"):
                images = min(prior["images"], self.fixed_chunk())
                one["prior"] = {**prior, "images": images}
            short["adapt"] = {**adapt, **one}
        return short

    def _weights_beside(self) -> tuple[Path, ...]:
        """Files and folders of weights that are opened beside the pipeline's own."""
        return tuple(lora_file(lora.path) for lora in self.loras)

    def one_pool(self) -> OnePool:
        """Pipelines that are not adapted learn nothing.

        Attributes of prompts are taken from the training images, where a request leaves them open.
        """
        if self.adapt is not None:
            return "no"
        return "training set" if self.attributes else "study"

    @model_validator(mode="before")
    @classmethod
    def _look_at_model(cls, value: Any) -> Any:
        # A saved generator carries the hash, so that it opens where the model no longer lies.
        if not isinstance(value, dict) or not value.get("model") or value.get("model_sha256"):
            return value
        files = pipeline_files(value["model"], value.get("config", ""))
        if value.get("adapt"):
            require_adaptable(class_of(files.folder), value["adapt"])
        loras = [lora_file(path) for path in _paths(value.get("loras", ()))]
        said = value.get("scheduler")
        advice = advised(files.folder, said=said, loras=loras)
        scheduler = advice.scheduler if said is None else said
        own = advice.own or suited(files.folder, named=files.named, scheduler=scheduler)
        together = chunk(files.folder)
        return {
            **({"scheduler": scheduler} if scheduler else {}),
            **({"timestep_spacing": advice.spacing} if advice.spacing else {}),
            **({} if own is None else own._asdict()),
            **({} if together is None else {"micro_batch": together}),
            # A key holds what is filled in; that of the packaged model is told by data cards.
            "licence": ""
            if value["model"] == EMBEDDED
            else licence_of(files.named) or licence_of(files.folder),
            "revision": revision_of(files.single or files.folder),
            "own_scheduler": scheduler_of(files.folder),
            **value,
            "model_sha256": hash_pipeline(files),
        }

    @model_validator(mode="before")
    @classmethod
    def _hash_decoder(cls, value: Any) -> Any:
        told = isinstance(value, dict) and value.get("decoder")
        if not told or value.get("decoder_sha256"):
            return value
        found = hash_part(locate(value["decoder"]), what="decoder", setting="decoder")
        return {**value, "decoder_sha256": found}

    @model_validator(mode="before")
    @classmethod
    def _read_table(cls, value: Any) -> Any:
        # Keys follow what the table says, not where it lies.
        if not isinstance(value, dict) or not value.get("prompt_table"):
            return value
        for taken in ("class_prompts", "class_negative_prompts"):
            if value.get(taken):
                raise ValueError(f"give either prompt_table or {taken}, not both")
        return {**value, **read_prompts(Path(value["prompt_table"])), "prompt_table": ""}

    @field_validator("prompt")
    @classmethod
    def _names_the_class(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if LABEL not in placeholders(text):
                raise ValueError(
                    f"the prompt '{text}' does not name the class; write {{label}} in it"
                )
        return value

    @model_validator(mode="after")
    def _compiles_once(self) -> Self:
        if self.compile and self.adapt is not None and getattr(self.adapt, "per_class", False):
            raise ValueError(
                "compile: true goes with one adapter for all classes; with per_class: true the "
                "network would be compiled anew for each"
            )
        return self

    @model_validator(mode="after")
    def _names_what_is_learnt(self) -> Self:
        if self.adapt is None or self.adapt.kind != "textual_inversion":
            return self
        for label, texts in self.class_prompts.items():
            for text in texts:
                if LABEL not in placeholders(text):
                    raise ValueError(
                        f"the prompt '{text}' of class '{label}' has no room for the word that "
                        "textual inversion learns; write {label} in it"
                    )
        return self

    @model_validator(mode="after")
    def _with_placeholders(self) -> Self:
        texts = [*self.prompt, *(one for own in self.class_prompts.values() for one in own)]
        said = {name for text in texts for name in placeholders(text)}
        for bank in self.phrases:
            if bank == LABEL or bank not in said:
                raise ValueError(
                    f"the phrases '{bank}' stand in no prompt; write {{{bank}}} in one"
                )
        # Frozen: the only field that others decide is set once, here.
        named = ({*self.attributes} | said) - {LABEL, *self.phrases}
        object.__setattr__(self, "attributes", tuple(sorted(named)))
        return self
