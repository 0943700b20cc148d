"""How a pipeline is adapted to few images, and adapters that exist already. No torch here."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from synthlift.errors import InputError
from synthlift.weights.locating import locate

SAFE = ".safetensors"


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraFile(_Frozen):
    """An adapter that was trained elsewhere; a path alone stands for weight 1.

    Attributes:
        path: file of safetensors in a format that diffusers reads for this pipeline, or a folder
            with one; or a name from ``synthlift models list``; or hf:OWNER/NAME, which downloads.
        weight: how strongly it acts; negative = the other way.
        partial: draw with it also where a part of it changes nothing in this pipeline, which is
            refused otherwise; the report then says which part.
        sha256: of the file; filled in, so that keys follow the content.
    """

    path: str
    weight: float = Field(default=1.0, ge=-10, le=10)
    partial: bool = False
    sha256: str = ""

    @model_validator(mode="before")
    @classmethod
    def _hash(cls, value: Any) -> Any:
        told = {"path": value} if isinstance(value, str) else value
        # A saved generator carries the hash, see PipelineConfig.
        if not isinstance(told, dict) or not told.get("path") or told.get("sha256"):
            return told
        return {**told, "sha256": hash_lora(told["path"])}


class Prior(_Frozen):
    """Prior preservation (Ruiz 2023): what the pipeline drew before is learnt beside the images.

    Attributes:
        images: drawn before training.
        weight: of their loss beside that of the training images.
        prompts: texts that they are drawn from, equally often; by default those of the classes.
            ``{label}``, names of attributes and of phrases in braces are filled as in other
            prompts: classes take turns, and by the seed they meet texts, and attribute values of
            one of their training images.
    """

    images: int = Field(default=64, ge=1)
    weight: float = Field(default=1.0, gt=0)
    prompts: Annotated[tuple[str, ...], Field(max_length=10_000)] = ()


class Adaptation(_Frozen):
    """Settings that both ways of adapting have.

    Attributes:
        steps: optimiser steps in all; auto goes by the number of training images.
        batch_size: training images per step; their gradients are summed in parts of the
            generator's ``micro_batch``.
        learning_rate: peak of a schedule with a short rise and a cosine fall to zero.
        optimizer: adam, or adam8bit, which keeps its moments in a byte each instead of four; it
            needs the extra ``adam8bit`` (bitsandbytes).
        class_balance: 0 = classes as they come, 1 = equally often.
        flip: learn mirrored images, too; only where mirroring keeps the class.
        min_snr: limit on a noise level's weight (Hang 2023); none = all levels weigh the same. Not
            for pipelines of flow matching.
        gradient_checkpointing: compute layers again in the backward pass rather than keep them;
            auto = where the network has more than 100 million weights.
        validation_images: images of the validation set on which check-points are compared, at most.
        ema: horizon of the averaged weights as a share of all steps.
        readings: how often, beside the beginning, samples and validation loss are looked at;
            0 = never.
        monitor_images: samples per reading.
        checkpoint_seconds: time between check-points from which a killed fit goes on.
    """

    steps: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    batch_size: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    optimizer: Literal["adam", "adam8bit"] = "adam"
    class_balance: float = Field(default=0.25, ge=0, le=1)
    flip: bool = False
    min_snr: Annotated[float, Field(gt=0)] | None = None
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    validation_images: int = Field(default=64, ge=0)
    ema: float = Field(default=0.1, gt=0, le=1)
    readings: int = Field(default=4, ge=0)
    monitor_images: int = Field(default=32, ge=1)
    checkpoint_seconds: float = Field(default=60.0, gt=0)


class LoraAdaptation(Adaptation):
    """Low-rank additions to the weights (Hu 2022), as DataDream learns them (Kim 2024).

    Attributes:
        kind: lora.
        rank: of the additions.
        layers: attention = the projections of the attention layers; all = every linear and
            convolutional layer of the network that removes the noise.
        text_encoder: adapt the attention layers of the text encoders, too.
        per_class: one adapter a class instead of one for all.
        prior: see :class:`Prior`; none = the training images alone are learnt.
    """

    kind: Literal["lora"]
    rank: int = Field(default=8, ge=1, le=1024)
    layers: Literal["attention", "all"] = "attention"
    text_encoder: bool = False
    per_class: bool = False
    prior: Prior | None = None

    def automatic_steps(self, examples: int) -> int:
        """Steps that ``auto`` stands for: some 200 epochs at 8 images a step, as DataDream."""
        if self.per_class:
            return min(20_000, max(400, 50 * examples))
        return min(3000, max(400, 25 * examples))


class InversionAdaptation(Adaptation):
    """A new word a class (Gal 2023), as DA-Fusion learns them; the pipeline stays as it is.

    Attributes:
        kind: textual_inversion.
        vectors: that stand for a word together.
        learning_rate: peak of a schedule with a short rise and a cosine fall to zero.
    """

    kind: Literal["textual_inversion"]
    vectors: int = Field(default=1, ge=1, le=16)
    learning_rate: float = Field(default=2e-3, gt=0)

    @model_validator(mode="before")
    @classmethod
    def _forgets_nothing(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "prior" not in value:
            return value
        if value["prior"] is not None:
            raise InputError(
                "'prior' is given for adapt of kind textual_inversion",
                rule="only the new words learn there: the pipeline stays as it is, and forgets "
                "nothing",
                remedy="leave 'prior' out, or take kind: lora",
            )
        # As earlier versions saved it.
        return {name: one for name, one in value.items() if name != "prior"}

    def automatic_steps(self, examples: int) -> int:
        """Steps that ``auto`` stands for."""
        return min(3000, max(400, 25 * examples))


AnyAdaptation = Annotated[LoraAdaptation | InversionAdaptation, Field(discriminator="kind")]


def prior_of(adapt: Adaptation | None) -> Prior | None:
    """What is learnt beside the images, where there is any."""
    return adapt.prior if isinstance(adapt, LoraAdaptation) else None


OTHER_TIMES = "the times that its network is told say less of the noise than its scheduler adds"
NOT_ADAPTED = {
    "SanaSprint": "it was distilled into a consistency model for few steps, which learns from the "
    "model that it was made of, not from images",
    "CogView4": OTHER_TIMES,
    "Kandinsky": "its latents are those of a MoVQ, which is not known here",
    "NucleusMoE": "how an image becomes its latents is not known",
    "GlmImage": "its network also reads tokens of an image, which are not known of training images",
    "Ideogram4": "what it makes of its network's answer is not known",
    "ZImageOmni": "its network is shown several images at once, and which to learn is not known",
}
"""Why pipelines cannot be adapted, by how their class begins."""
READ_WITHOUT_GRADIENTS = ("PRX",)
"""How the classes of those begin of which neither text encoders nor words can learn."""
READ_OTHERWISE = ("Kolors",)
"""How the classes of those begin whose text encoder is of a make of its own, and stays as it is."""


def require_adaptable(kind: str, asked: Any) -> None:
    """Refuse to adapt pipelines of a class of which it is known before they are opened.

    Args:
        kind: the class.
        asked: how they are to be adapted, as settings or as what is to become them.

    Raises:
        InputError: they cannot be.
    """
    said = dict(asked) if isinstance(asked, Mapping | BaseModel) else {}
    texts = said.get("text_encoder") or said.get("kind") == "textual_inversion"
    if texts and kind.startswith(READ_WITHOUT_GRADIENTS):
        raise cannot_adapt(
            kind,
            "it reads texts without gradients, and only its network learns: adapt: {kind: lora}",
        )
    if texts and kind.startswith(READ_OTHERWISE):
        raise cannot_adapt(
            kind,
            "its text encoder has no layers of a known name and takes no new words, and only its "
            "network learns: adapt: {kind: lora}",
        )
    for begins, reason in NOT_ADAPTED.items():
        if kind.startswith(begins):
            raise cannot_adapt(kind, reason)


def cannot_adapt(kind: str, reason: str) -> InputError:
    """The error for pipelines of a class that cannot be adapted here."""
    return InputError(
        f"a {kind} cannot be adapted: {reason}",
        rule="pipelines with one UNet or transformer that removes noise in latents or pixels, as "
        "Stable Diffusion 1 to 3, XL, PixArt, Sana, Flux, Flux.2, Qwen-Image, Z-Image, Lumina, "
        "Chroma, AuraFlow, Ovis-Image, PRX and Krea 2, can be adapted",
        remedy="take another pipeline, or leave 'adapt' out",
    )


def learnt_words(classes: Sequence[str], counts: Sequence[int]) -> dict[str, str]:
    """The word that each class with training images is learnt under, such as ``<crane>``."""
    words: dict[str, str] = {}
    for index, (label, count) in enumerate(zip(classes, counts, strict=True)):
        if not count:
            continue
        # Tokenizers of CLIP know small letters only.
        plain = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
        word = f"<{plain or f'class-{index}'}>"
        words[label] = f"<{plain}-{index}>" if word in words.values() else word
    return words


def vectors_of(word: str, vectors: int) -> list[str]:
    """The tokens that stand for a learnt word together, the word itself first."""
    return [word, *(f"{word[:-1]}|{i}>" for i in range(1, vectors))]


def spelling(adapt: AnyAdaptation | None, words: Mapping[str, str]) -> Callable[[str], str]:
    """How prompts are told to a pipeline: each learnt word as all of its tokens.

    Whoever tells a pipeline a prompt, to learn or to draw, spells it first: tokens that are not in
    a prompt are neither learnt nor seen.

    Args:
        adapt: how the pipeline is adapted.
        words: by class, those of :func:`learnt_words`.
    """
    vectors = adapt.vectors if isinstance(adapt, InversionAdaptation) else 1
    tokens = {word: " ".join(vectors_of(word, vectors)) for word in words.values()}

    def spelled(prompt: str) -> str:
        for word, several in tokens.items():
            prompt = prompt.replace(word, several)
        return prompt

    return spelled


def lora_file(said: str) -> Path:
    """The file that is meant: a path, a folder with one, or a name; see ``weights.locating``.

    Raises:
        InputError: there is no such file, or it is of a format that can run code.
    """
    path = locate(said)
    found = sorted(path.glob(f"*{SAFE}")) if path.is_dir() else [path]
    if len(found) == 1 and found[0].is_file() and found[0].suffix == SAFE:
        return found[0]
    what = "is no file of safetensors" if path.is_file() else "does not exist"
    raise InputError(
        f"the LoRA file '{said}' " + (f"holds {len(found)} of {SAFE}" if path.is_dir() else what),
        rule="'loras' lists files of safetensors: other formats can run code when loaded",
        remedy="give the .safetensors file itself, or convert the weights",
    )


def hash_lora(said: str) -> str:
    """SHA-256 (hex) of a LoRA file; errors as in :func:`lora_file`."""
    path = lora_file(said)
    facts = path.stat()
    return _hash_file(path, facts.st_size, facts.st_mtime_ns)


@functools.lru_cache(maxsize=64)
def _hash_file(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
