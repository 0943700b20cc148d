"""Adapters of a pipeline: low-rank additions to weights, and words that were learnt.

What a fit has learnt is kept in files that other tools read, too: ``pytorch_lora_weights`` as
``load_lora_weights`` of diffusers takes it, and a word's vectors as ``load_textual_inversion``
does. They are put into a pipeline here without those, which only some pipelines have.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file, save
from torch import Tensor, nn

from synthlift.errors import InputError, needing_extra
from synthlift.generators.pipelines.adapter_settings import (
    LoraFile,
    hash_lora,
    lora_file,
    vectors_of,
)
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.lora_coverage import coverage
from synthlift.store.files import write_bytes_atomic

FOLDER = "adapter"
LORA_FILE = "pytorch_lora_weights.safetensors"
WORDS_FILE = "learned_embeds.safetensors"
LEARNT = "learnt"
DENOISERS = ("unet", "transformer")
NAMED = 3
"""Of tensors that change nothing, so many are named."""
SEVERAL = "Already found a `peft_config`"
"""What peft warns of where there is more than one adapter, which is meant here."""


@dataclass(frozen=True)
class Adapter:
    """What a fit has learnt.

    Attributes:
        files: contents by path within the adapter's folder.
    """

    files: Mapping[str, bytes] = field(repr=False)

    @property
    def sha256(self) -> str:
        """Over names and contents."""
        whole = hashlib.sha256()
        for name, content in sorted(self.files.items()):
            whole.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
        return whole.hexdigest()

    def save(self, folder: Path) -> None:
        """Write all files below ``folder``."""
        for name, content in self.files.items():
            write_bytes_atomic(folder / FOLDER / name, content)

    @classmethod
    def read(cls, folder: Path) -> Adapter | None:
        """What :meth:`save` wrote; None where it wrote nothing."""
        inner = folder / FOLDER
        found = sorted(inner.rglob("*.safetensors"))
        files = {path.relative_to(inner).as_posix(): path.read_bytes() for path in found}
        return cls(files) if files else None


def parts(pipeline: Any) -> dict[str, nn.Module]:
    """The networks that adapters change, by name: what removes noise, and the text encoders."""
    names = [*DENOISERS, "text_encoder", "text_encoder_2", "text_encoder_3"]
    found = {name: getattr(pipeline, name, None) for name in names}
    return {name: network for name, network in found.items() if isinstance(network, nn.Module)}


def tokenizer_of(pipeline: Any, part: str) -> Any:
    """The tokenizer of a text encoder, without what reads images beside it, as in Flux.2."""
    found = getattr(pipeline, part.replace("text_encoder", "tokenizer"), None)
    inner = getattr(found, "tokenizer", found)
    return inner if hasattr(found, "image_processor") else found


def add_loras(pipeline: Any, loras: Sequence[LoraFile]) -> list[str]:
    """Put existing LoRA files into a pipeline, and let them act.

    Returns:
        A sentence for each file of which only a part acts, as its settings allow.

    Raises:
        InputError: a file has changed, or does not fit the pipeline, or only partly and is not
            allowed to.
    """
    weights = given_weights(loras)
    said = [_add_file(pipeline, lora, name) for lora, name in zip(loras, weights, strict=True)]
    activate(pipeline, weights)
    return [words for words in said if words]


def _add_file(pipeline: Any, lora: LoraFile, name: str) -> str:
    path = lora_file(lora.path)
    rule = "a LoRA file belongs to the kind of pipeline that it was trained on"
    remedy = f"give a LoRA for {type(pipeline).__name__}, or leave it out"
    if hash_lora(lora.path) != lora.sha256:
        raise InputError(
            f"the LoRA file '{path}' is another one than was planned with",
            rule=f"it must hash to {lora.sha256}",
            remedy="put the former file back, or run the study anew with --replan",
        )
    if not hasattr(pipeline, "load_lora_weights"):
        raise InputError(
            f"the LoRA file '{path}' for a {type(pipeline).__name__}",
            rule="diffusers reads no LoRA files for this kind of pipeline",
            remedy="leave 'loras' out, or adapt the pipeline to images of your own",
        )
    with needing_extra("text-to-image", extra="text2image"):
        import peft  # noqa: F401
    try:
        # Layers draw their first weights from the global state, before they get their own.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=SEVERAL)
            pipeline.load_lora_weights(
                str(path.parent),
                weight_name=path.name,
                adapter_name=name,
                local_files_only=True,
                use_safetensors=True,
            )
    except (
        RuntimeError,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        OSError,
        SafetensorError,
    ) as error:
        words = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the LoRA file '{path}' does not fit the pipeline: {words}", rule=rule, remedy=remedy
        ) from None
    if not any(name in layer.lora_A for layer in tuned_layers(pipeline)):
        raise InputError(
            f"the LoRA file '{path}' changes no layer of the pipeline", rule=rule, remedy=remedy
        )
    return _require_whole(pipeline, lora, path=path, name=name)


def _require_whole(pipeline: Any, lora: LoraFile, *, path: Path, name: str) -> str:
    """What is to be said of a file that acts in part; "" = all of it acts.

    Raises:
        InputError: it was not allowed to, or holds what is no number.
    """
    tensors = load_file(path)
    if broken := [one for one, held in tensors.items() if not held.float().isfinite().all()]:
        raise InputError(
            f"the LoRA file '{path}' holds NaN or infinite numbers: in {len(broken)} of its "
            f"{len(tensors)} tensors, such as '{broken[0]}'",
            rule="weights are finite numbers; with others no pipeline draws an image",
            remedy="download the file again; if it is the same, its training failed: leave it out",
        )
    found = coverage(pipeline, tensors, name=name)
    if not found.idle:
        return ""
    few = ", ".join(f"'{one}'" for one in found.idle[:NAMED])
    said = (
        f"{len(found.idle)} of the {len(found.tensors)} tensors of the LoRA file '{path}' change "
        f"nothing in this {type(pipeline).__name__}, such as {few}"
    )
    if lora.partial:
        return f"{said}: it may draw otherwise than it was trained to"
    raise InputError(
        said,
        rule="a LoRA file draws what it was trained to draw where all of it acts",
        remedy=f"give a LoRA for this pipeline; or {{path: {lora.path}, partial: true}}, to draw "
        "with what does act, and the report says so",
    )


def tuned_layers(pipeline: Any) -> Iterator[Any]:
    """Every layer of the pipeline that has low-rank additions."""
    for network in parts(pipeline).values():
        for layer in network.modules():
            if hasattr(layer, "lora_A") and hasattr(layer, "set_scale"):
                yield layer


def activate(pipeline: Any, weights: Mapping[str, float]) -> None:
    """Let these adapters act, each with its weight, and no other."""
    for layer in tuned_layers(pipeline):
        present = [name for name in weights if name in layer.lora_A]
        layer.set_adapter(present)
        # Which is not to say that they are to be learnt.
        layer.requires_grad_(False)
        for name in present:
            layer.set_scale(name, weights[name])


# ── learnt low-rank additions ─────────────────────────────────────────────────────────────────


def inject(network: nn.Module, *, layers: Sequence[str], rank: int, name: str) -> dict[str, Any]:
    """Add low-rank additions, so far 0, to layers of a network.

    Returns:
        The changed layers by name.
    """
    with needing_extra("text-to-image", extra="text2image"):
        from peft import LoraConfig, inject_adapter_in_model
    # The scale is alpha / rank: 1 here, and for tools that are told no alpha.
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=list(layers))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=SEVERAL)
        inject_adapter_in_model(config, network, adapter_name=name)
    found = {
        path: layer
        for path, layer in network.named_modules()
        if hasattr(layer, "lora_A") and name in layer.lora_A
    }
    assert {*found} == {*layers}
    return found


def lora_parameters(layers: Mapping[str, Any], *, name: str) -> dict[str, nn.Parameter]:
    """The parameters of an adapter in layers of a network, named as in its file."""
    return {
        f"{path}.{factor}.weight": getattr(layer, factor)[name].weight
        for path, layer in layers.items()
        for factor in ("lora_A", "lora_B")
    }


def lora_content(weights: Mapping[str, Tensor]) -> bytes:
    """The content of a LoRA file of weights by ``<part>.<layer>.<factor>.weight``."""
    kept = {name: weight.detach().cpu().contiguous() for name, weight in weights.items()}
    content: bytes = save(kept, metadata={"format": "pt"})
    return content


def add_learnt(pipeline: Any, content: bytes, *, name: str) -> None:
    """Put a LoRA file that :func:`lora_content` made into a pipeline."""
    weights = load(content)
    for part, network in parts(pipeline).items():
        mine = {
            key.removeprefix(f"{part}."): weight
            for key, weight in weights.items()
            if key.startswith(f"{part}.")
        }
        if not mine:
            continue
        downs = {k.removesuffix(".lora_A.weight"): w for k, w in mine.items() if "lora_A" in k}
        rank = next(iter(downs.values())).shape[0]
        layers = inject(network, layers=sorted(downs), rank=rank, name=name)
        with torch.no_grad():
            for key, parameter in lora_parameters(layers, name=name).items():
                parameter.copy_(mine[key])


# ── learnt words ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Room:
    """Room for new tokens in one text encoder.

    Attributes:
        part: its name in the pipeline.
        encoder: the network.
        ids: of the new tokens, in order.
    """

    part: str
    encoder: Any
    ids: tuple[int, ...]

    @property
    def table(self) -> nn.Embedding:
        """The encoder's embedding of tokens."""
        found: nn.Embedding = self.encoder.get_input_embeddings()
        return found


def make_room(pipeline: Any, words: Sequence[str], *, vectors: int) -> list[Room]:
    """Teach all tokenizers of a pipeline new words, whose vectors are not set yet.

    Raises:
        InputError: a tokenizer or text encoder cannot be extended, or knows a word already.
    """
    tokens = [token for word in words for token in vectors_of(word, vectors)]
    rooms = []
    for part, encoder in parts(pipeline).items():
        if part in DENOISERS:
            continue
        tokenizer = tokenizer_of(pipeline, part)
        try:
            added = tokenizer.add_tokens(tokens)
            ids = tuple(tokenizer.convert_tokens_to_ids(tokens))
            rows = encoder.get_input_embeddings().weight.shape[0]  # type: ignore[operator]
            # The new rows are overwritten, but first drawn from the global state.
            with torch.random.fork_rng(devices=[]):
                encoder.resize_token_embeddings(  # type: ignore[operator]
                    max(rows, max(ids) + 1), mean_resizing=False
                )
        except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
            raise _not_extended(pipeline, part, str(error)) from None
        if added != len(tokens):
            raise _not_extended(pipeline, part, f"it has {', '.join(words)} already")
        _end_by_number(encoder, tokenizer)
        rooms.append(Room(part, encoder, ids))
    if not rooms:
        raise _not_extended(pipeline, "text_encoder", "there is none")
    return rooms


def _not_extended(pipeline: Any, part: str, reason: str) -> InputError:
    return InputError(
        f"'{part}' of the {type(pipeline).__name__} takes no new words: {reason}",
        rule="textual inversion needs tokenizers and text encoders that can be extended",
        remedy="adapt with 'kind: lora' instead",
    )


def _end_by_number(encoder: Any, tokenizer: Any) -> None:
    """Have CLIP find the end of a text by its token.

    Old files say 2 for it; their networks then take the token with the highest number, which would
    be a new one.
    """
    for module in encoder.modules():
        if getattr(module, "eos_token_id", None) == 2:
            module.eos_token_id = tokenizer.eos_token_id


def words_file(words: Sequence[str], vectors_nvd: Tensor) -> dict[str, bytes]:
    """Files by name of the vectors [words, vectors, features] of words in one text encoder.

    One file a word, since ``load_textual_inversion`` takes one word a file.
    """
    return {
        f"{word.strip('<>')}/{WORDS_FILE}": save({word: rows.detach().cpu().contiguous()})
        for word, rows in zip(words, vectors_nvd, strict=True)
    }


def add_words(pipeline: Any, files: Mapping[str, bytes], *, vectors: int) -> None:
    """Put words that were learnt into a pipeline; ``files`` by ``<part>/<word>/…``."""
    learnt: dict[str, dict[str, Tensor]] = {}
    for path, content in sorted(files.items()):
        learnt.setdefault(path.split("/")[0], {}).update(load(content))
    words = list(next(iter(learnt.values())))
    for room in make_room(pipeline, words, vectors=vectors):
        rows = torch.cat([learnt[room.part][word] for word in words])
        weight = room.table.weight
        with torch.no_grad():
            weight[list(room.ids)] = rows.to(weight)


def dress(pipeline: Any, config: PipelineConfig, adapter: Adapter | None) -> None:
    """Put a pipeline's LoRA files, and what was learnt, into it; see :func:`activate`.

    Raises:
        InputError: a file is gone or does not fit; a tokenizer cannot be extended.
    """
    add_loras(pipeline, config.loras)
    if adapter is None or config.adapt is None:
        return
    if config.adapt.kind == "textual_inversion":
        add_words(pipeline, adapter.files, vectors=config.adapt.vectors)
        return
    for name, content in adapter.files.items():
        add_learnt(pipeline, content, name=name.split("/")[0] if "/" in name else LEARNT)


def acting(config: PipelineConfig, label: int) -> str:
    """The name of the learnt adapter that draws a class; "" = none does."""
    if config.adapt is None or config.adapt.kind != "lora":
        return ""
    return class_adapter(label) if config.adapt.per_class else LEARNT


def class_adapter(label: int) -> str:
    """The name of a class's own adapter."""
    return f"class-{label}"


def given_weights(loras: Sequence[LoraFile]) -> dict[str, float]:
    """Weights of LoRA files by the names that their adapters are given."""
    return {f"given_{index}": lora.weight for index, lora in enumerate(loras)}
