"""Checkpoints of transformers' other models that embed images and texts in one space.

All of them have ``get_image_features`` and ``get_text_features``, so that one adapter serves them:
ALIGN, AltCLIP, Chinese CLIP, MetaCLIP 2, SigLIP 2 with images of any form (NaFlex), and pairs of
towers that were joined (``VisionTextDualEncoderModel``).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from typing import Any

import torch
from torch import Tensor, nn

from synthlift.errors import InputError, needing_extra
from synthlift.vision.clip.files import CONFIGS, NAFLEX, ClipFiles
from synthlift.weights.quiet import quiet
from synthlift.weights.vocabulary import open_tokenizer

WITHIN = "dual."
"""What the names of a tower's weights begin with, beside those of the whole model."""
TEXT_PARTS = ("text_model", "text_projection", "logit_scale", "logit_bias", "temperature")
LEAST: dict[str, Any] = {
    "vocab_size": 8,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 1,
    "num_hidden_layers": 1,
    "projection_dim": 8,
    "projection_size": 8,
    "project_dim": 8,
}
"""Of a text tower that is thrown away, by the names that any of them has."""
OFFSET = ("roberta", "xlm-roberta", "camembert", "altclip_text_model")
"""Types of text towers that count positions from behind the token that fills up."""
UNBOUNDED = 10**6
"""A tokenizer that says it reads more tokens does not know how many."""


class DualImages(nn.Module):
    """The image tower of such a model.

    Args:
        model: of transformers; loses its text tower.
        patch: pixels a side of the patches that it takes in place of images; 0 = it takes images.
    """

    def __init__(self, model: nn.Module, *, patch: int) -> None:
        super().__init__()
        for name in TEXT_PARTS:
            if hasattr(model, name):
                delattr(model, name)
        self.dual: Any = model
        self.patch = patch

    def forward(self, x: Tensor) -> Tensor:
        """Embeddings [n, d], not normalised, of images [n, 3, side, side]."""
        given = _patches(x, self.patch) if self.patch else {"pixel_values": x}
        return _embedding(self.dual.get_image_features(**given))


def _embedding(found: Any) -> Tensor:
    """What both towers give; versions of transformers before 5 give it alone."""
    embedding: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return embedding


def _patches(x: Tensor, patch: int) -> dict[str, Tensor]:
    """Images cut into patches, line by line, their channels last, all of them to be seen."""
    count, channels, height, width = x.shape
    rows, columns = height // patch, width // patch
    cut = x.reshape(count, channels, rows, patch, columns, patch).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": cut.reshape(count, rows * columns, -1),
        "pixel_attention_mask": x.new_ones((count, rows * columns), dtype=torch.long),
        "spatial_shapes": torch.tensor([[rows, columns]]).expand(count, 2),
    }


def build_dual(settings: Mapping[str, Any]) -> DualImages:
    """An image tower with random weights, from ``vision`` of a checkpoint's architecture."""
    with needing_extra("CLIP", extra="clip"):
        from transformers import MODEL_MAPPING, AutoConfig
    given = {**settings, "text_config": {**LEAST, **settings["text_config"]}}
    config = AutoConfig.for_model(given.pop("model_type"), **given)
    patch = config.vision_config.patch_size if config.model_type == NAFLEX else 0
    with quiet("transformers"):
        whole: Any = MODEL_MAPPING[type(config)]
        return DualImages(whole(config), patch=patch)


def _load(files: ClipFiles, tensors: Mapping[str, Tensor]) -> tuple[Any, Any, dict[str, Any]]:
    """Settings and model, and what transformers found of its weights."""
    from transformers import MODEL_MAPPING, AutoConfig

    config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
    whole: Any = MODEL_MAPPING[type(config)]
    model, told = whole.from_pretrained(
        None,
        config=config,
        state_dict=dict(tensors),
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        output_loading_info=True,
    )
    return config, model, told


def _unreadable(files: ClipFiles, error: Exception) -> InputError:
    return InputError(
        f"the CLIP checkpoint '{files.folder}' cannot be read: {error}",
        rule=f"{CONFIGS[files.library]} describes a model that transformers "
        f"{metadata.version('transformers')} knows",
        remedy="download the checkpoint again",
    )


class OpenedDual:
    """A whole checkpoint: weights under the names that this version of transformers has, and texts.

    Args:
        files: of the checkpoint.
        tensors: what its files of weights hold; published ones may have names of former versions.

    Raises:
        InputError: weights are missing or of another shape, or its configuration cannot be used.
    """

    def __init__(self, files: ClipFiles, tensors: Mapping[str, Tensor]) -> None:
        self.files = files
        try:
            with quiet("transformers"), torch.random.fork_rng(devices=[]):
                self.config, self._model, told = _load(files, tensors)
        except ModuleNotFoundError:
            raise
        except Exception as error:  # transformers raises what it pleases.
            raise _unreadable(files, error) from None
        self._model.train(False)
        lacking = [*told["missing_keys"], *(name for name, *_ in told["mismatched_keys"])]
        if lacking:
            raise InputError(
                f"the weights of the CLIP checkpoint '{files.folder}' do not fit its "
                f"configuration: {len(lacking)} tensors are missing or of another shape, first "
                f"'{min(lacking)}'",
                rule=f"{CONFIGS[files.library]} describes the weights beside it",
                remedy="download the checkpoint again",
            )

    @property
    def tensors(self) -> dict[str, Tensor]:
        """All weights by name."""
        found: dict[str, Tensor] = self._model.state_dict()
        return found

    @property
    def scale(self) -> float:
        """What cosines are multiplied with for logits."""
        held = self.tensors
        if "temperature" in held:  # ALIGN divides by it.
            return 1.0 / float(held["temperature"])
        return float(held["logit_scale"].exp())

    def embed(self, tokens: Mapping[str, Tensor]) -> Tensor:
        """The embedding [1, d] of a text, not normalised."""
        return _embedding(self._model.get_text_features(**tokens))


class DualTokens:
    """Makes tokens of texts for such a checkpoint; no weights are read.

    Args:
        files: of the checkpoint.

    Raises:
        InputError: its configuration or its tokenizer cannot be read.
    """

    def __init__(self, files: ClipFiles) -> None:
        with needing_extra("CLIP", extra="clip"):
            from transformers import AutoConfig
        try:
            self._config = AutoConfig.from_pretrained(files.folder, local_files_only=True)
        except Exception as error:  # transformers raises what it pleases.
            raise _unreadable(files, error) from None
        self._tokenizer = open_tokenizer(files.folder)

    @property
    def most(self) -> int:
        """Tokens that the text tower reads at most."""
        told = self._config.text_config
        most: int = told.max_position_embeddings
        if told.model_type in OFFSET:
            most -= told.pad_token_id + 1
        length = int(min(self._tokenizer.model_max_length, UNBOUNDED))
        return most if length == UNBOUNDED else min(most, length)

    def count(self, text: str) -> int:
        """Tokens of a text of any length."""
        return len(self._tokenizer(self._as_trained(text), verbose=False)["input_ids"])

    def of(self, text: str) -> dict[str, Tensor]:
        """What the text tower is given of a text, which is cut where it is too long."""
        given = [self._as_trained(text)]
        told: dict[str, Any] = {"return_tensors": "pt", "verbose": False}
        told |= {"truncation": True, "max_length": self.most}
        if not self._naflex:
            found: dict[str, Tensor] = self._tokenizer(given, **told)
            return found
        # It was trained on texts filled up behind to the full length, without a mask.
        ids = self._tokenizer(given, **told, padding="max_length", padding_side="right")
        return {"input_ids": ids["input_ids"]}

    @property
    def _naflex(self) -> bool:
        return bool(self._config.model_type == NAFLEX)

    def _as_trained(self, text: str) -> str:
        return text.lower() if self._naflex else text
