"""The image tower of a CLIP checkpoint as a module, and what the text tower makes of texts.

Shape letters: n images, t texts, d the width of the embedding space.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from synthlift.errors import InputError, needing_extra
from synthlift.vision.clip import dual
from synthlift.vision.clip.config import ClipCheckpoint
from synthlift.vision.clip.files import (
    CONFIGS,
    ClipFiles,
    clip_place,
    find_clip,
    hash_clip,
    text_tower,
)
from synthlift.vision.clip.texts import Tokens, clip_settings, open_clip_settings, tokens_of
from synthlift.weights.vocabulary import differ

ADAPTED = ("q_proj", "k_proj", "v_proj", "query", "key", "value", "qkv")
"""Names of the linear layers of an attention that low-rank matrices stand beside."""
EMBEDDINGS = ("image_embeds", "pooler_output")
"""What image towers of transformers call their embedding."""
WITHIN = {"transformers": "", "siglip": "vision_model.", "dual": "", "open_clip": "visual."}
"""What the names of an image tower's weights begin with in a checkpoint."""
TEXT = "text_model."
PACKED = "in_proj_weight"
"""Queries, keys and values of torch's own attention in one parameter."""


class Tower(nn.Module):
    """Images, normalised, to embeddings of length 1 [n, d].

    Args:
        model: the library's own image tower.
        size: pixels a side that it sees.
        mode: how images of another size are brought to it, as ``interpolate`` names it.
        learns: whether any of it may be trained; else it stays in evaluation mode, so that a
            frozen tower is frozen in its running statistics, too.
    """

    def __init__(self, model: nn.Module, *, size: int, learns: bool, mode: str = "bicubic") -> None:
        super().__init__()
        self.model, self.size, self.learns, self.mode = model, size, learns, mode

    def forward(self, x: Tensor) -> Tensor:
        """Resize as the checkpoint's own processor does, make grey RGB, embed."""
        if x.shape[-1] != self.size or x.shape[-2] != self.size:
            x = interpolate(
                x, (self.size, self.size), mode=self.mode, antialias=True, align_corners=False
            )
        found = self.model(x.expand(-1, 3, -1, -1).contiguous())
        named = (getattr(found, name, None) for name in EMBEDDINGS)
        embeddings: Tensor = next((one for one in named if one is not None), found)
        return normalize(embeddings, dim=-1)

    def train(self, mode: bool = True) -> Tower:
        """See ``nn.Module``."""
        super().train(mode and self.learns)
        return self


def build_tower(architecture: Mapping[str, Any], *, learns: bool) -> Tower:
    """An image tower with random weights, drawn from torch's current random state."""
    settings = architecture["vision"]
    model: nn.Module
    if architecture["library"] == "transformers":
        with needing_extra("CLIP", extra="clip"):
            from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**settings))
    elif architecture["library"] == "siglip":
        with needing_extra("SigLIP", extra="siglip"):
            from transformers import SiglipVisionConfig, SiglipVisionModel
        model = SiglipVisionModel(SiglipVisionConfig(**settings))
    elif architecture["library"] == "dual":
        model = dual.build_dual(settings)
    else:
        with needing_extra("CLIP", extra="clip"):
            from open_clip import CLIP
        # The text tower is thrown away, hence as small as can be.
        least = {"context_length": 2, "vocab_size": 4, "width": 8, "heads": 1, "layers": 1}
        model = CLIP(embed_dim=architecture["embedding"], text_cfg=least, **settings).visual
    mode = architecture.get("mode", "bicubic")
    return Tower(model, size=architecture["size"], learns=learns, mode=mode)


def adapt(tower: Tower, *, rank: int, alpha: int) -> None:
    """Put low-rank matrices beside queries, keys and values, and freeze everything else.

    Raises:
        InputError: the tower has no attention that is known.
    """
    with needing_extra("CLIP", extra="clip"):
        from peft import LoraConfig, inject_adapter_in_model
    modules = [name for name, _ in tower.model.named_modules() if name.split(".")[-1] in ADAPTED]
    packed = [name for name, _ in tower.model.named_parameters() if name.endswith(PACKED)]
    if not modules and not packed:
        raise InputError(
            f"LoRA on an image tower of class {_class_of(tower.model)}",
            rule="low-rank matrices stand beside the attention of a vision transformer",
            remedy="set tuning: linear_probe or full, or take a CLIP with a vision transformer",
        )
    settings = LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=modules, target_parameters=packed or None
    )
    inject_adapter_in_model(settings, tower.model)


def _class_of(model: nn.Module) -> str:
    return type(model.dual if isinstance(model, dual.DualImages) else model).__name__


class OpenedClip:
    """A checkpoint, read once: weights of the image tower, and embeddings of texts.

    Args:
        checkpoint: names the files, and what they hash to.

    Raises:
        InputError: the files are others than were planned with, or do not fit together.
    """

    def __init__(self, checkpoint: ClipCheckpoint) -> None:
        self.path = clip_place(checkpoint.model)
        self.files = find_clip(self.path)
        self._text = text_tower(self.files, checkpoint.text_model)
        if hash_clip(self.path, text_model=checkpoint.text_model) != checkpoint.model_sha256:
            raise InputError(
                f"the CLIP checkpoint '{self.path}' is another one than was planned with",
                rule=f"its files must hash to {checkpoint.model_sha256}",
                remedy="put the former files back, or start the study again",
            )
        self._tensors = _read(self.files)
        self._dual = dual.OpenedDual(self.files, self._tensors) if self._is_dual else None
        if self._dual is not None:
            self._tensors = self._dual.tensors

    @functools.cached_property
    def _tokens(self) -> Tokens:
        return tokens_of(self.files, self._text)

    @property
    def _is_dual(self) -> bool:
        return self.files.library == "dual"

    @property
    def scale(self) -> float:
        """What cosines are multiplied with for logits, as the checkpoint learnt it.

        SigLIP adds the same number to the logits of all classes, which changes no probability among
        them.
        """
        if self._dual is not None:
            return self._dual.scale
        return float(self._tensors["logit_scale"].float().exp())

    def load_into(self, tower: Tower) -> None:
        """Put the weights into an image tower; low-rank matrices stay as they are."""
        prefix = WITHIN[self.files.library]
        own = tower.model.state_dict()
        wanted = {
            name: name.replace("base_layer.", "").removeprefix(dual.WITHIN)
            for name in own
            if ".lora_" not in name
        }
        self._fill(
            tower.model,
            {name: prefix + theirs.removeprefix(prefix) for name, theirs in wanted.items()},
        )

    @torch.inference_mode()
    def embed(self, texts: Sequence[str], *, cut: bool = False) -> Tensor:
        """Embeddings of length 1 [t, d] of texts, each computed alone.

        Args:
            texts: of any length.
            cut: whether one is read as far as the text tower reads.

        Raises:
            InputError: a text is longer than the text tower reads, and not to be cut.
        """
        if not cut:
            for text in texts:
                self._require_short(text)
        tokens, read = self._tokens, self._read_tokens
        return normalize(torch.cat([read(tokens.of(text)) for text in texts]).float(), dim=-1)

    def embed_classes(self, texts: Mapping[str, Sequence[str]]) -> Tensor:
        """One embedding of length 1 for each class [k, d]: the mean of those of its texts.

        Raises:
            InputError: a text is too long, or the texts of two classes are the same to it.
        """
        found = {label: self.embed(own) for label, own in texts.items()}
        first: dict[bytes, str] = {}
        for other, own in found.items():
            one = first.setdefault(own.numpy().tobytes(), other)
            if differ(texts[one], texts[other]):
                raise InputError(
                    f"the tokenizer of the CLIP checkpoint '{self.path}' does not tell '{one}' "
                    f"from '{other}'",
                    rule="each class is put into words that the checkpoint knows: most know those "
                    "of English",
                    remedy=f"say what they show in other words: data: {{names: {{{one}: WORDS, "
                    f"{other}: WORDS}}}}",
                )
        return normalize(torch.stack([own.mean(dim=0) for own in found.values()]), dim=-1)

    @functools.cached_property
    def _read_tokens(self) -> Callable[[Any], Tensor]:
        """From a text's tokens to its embedding [1, d], not normalised."""
        if self._dual is not None:
            return self._dual.embed
        return {
            "transformers": self._transformers,
            "siglip": self._siglip,
            "open_clip": self._open_clip,
        }[self.files.library]()

    def _transformers(self) -> Callable[[Any], Tensor]:
        from transformers import CLIPTextConfig, CLIPTextModelWithProjection

        said = clip_settings(self.files)
        settings = {**said["text_config"], "projection_dim": said.get("projection_dim", 512)}
        with torch.random.fork_rng(devices=[]):
            model = CLIPTextModelWithProjection(CLIPTextConfig(**settings))
        model.train(False)
        self._fill(model, {name: name for name in model.state_dict()})

        def read(tokens: Any) -> Tensor:
            embedding: Tensor = model(input_ids=tokens).text_embeds
            return embedding

        return read

    def _siglip(self) -> Callable[[Any], Tensor]:
        from transformers import SiglipTextConfig, SiglipTextModel

        with torch.random.fork_rng(devices=[]):
            model = SiglipTextModel(SiglipTextConfig(**clip_settings(self.files)["text_config"]))
        model.train(False)
        self._fill(model, {name: TEXT + name.removeprefix(TEXT) for name in model.state_dict()})

        def read(tokens: Any) -> Tensor:
            embedding: Tensor = model(input_ids=tokens).pooler_output
            return embedding

        return read

    def _open_clip(self) -> Callable[[Any], Tensor]:
        import open_clip

        settings = open_clip_settings(self.files, self._text)
        custom = settings.pop("custom_text", False) or self._text is not None
        with torch.random.fork_rng(devices=[]):
            model = (open_clip.CustomTextCLIP if custom else open_clip.CLIP)(**settings).eval()
        self._fill(model, {name: name for name in model.state_dict()})

        def read(tokens: Any) -> Tensor:
            embedding: Tensor = model.encode_text(tokens)
            return embedding

        return read

    def _require_short(self, text: str) -> None:
        if (count := self._tokens.count(text)) > self._tokens.most:
            raise InputError(
                f"the text '{text}' has {count} tokens",
                rule=f"the text tower of '{self.path}' reads {self._tokens.most}",
                remedy="shorten the template, or the words for the class under data.names",
            )

    def _fill(self, module: nn.Module, names: Mapping[str, str]) -> None:
        own = module.state_dict()
        fitting = {
            name: self._tensors[theirs].to(own[name].dtype)
            for name, theirs in names.items()
            if theirs in self._tensors and self._tensors[theirs].shape == own[name].shape
        }
        # Counters of positions are no weights; older versions saved them, newer ones do not.
        missing = [name for name in names if name not in fitting and "position_ids" not in name]
        if missing:
            raise InputError(
                f"the weights of the CLIP checkpoint '{self.path}' do not fit its configuration: "
                f"{len(missing)} of {len(names)} tensors are missing or of another shape, first "
                f"'{missing[0]}'",
                rule=f"{CONFIGS[self.files.library]} describes the weights beside it",
                remedy="download the checkpoint again",
            )
        module.load_state_dict({**own, **fitting})


def _read(files: ClipFiles) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    for path in files.weights:
        try:
            tensors |= load_file(path)
        except SafetensorError as error:
            raise InputError(
                f"the weights '{path}' cannot be read: {error}",
                rule="a .safetensors file holds plain tensors",
                remedy="download the file again",
            ) from None
    return tensors
