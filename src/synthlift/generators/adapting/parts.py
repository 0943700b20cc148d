"""The numbers that an adaptation learns, inside the pipeline that they change."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from synthlift.generators.adapting.calls import cannot_adapt
from synthlift.generators.pipelines.adapter_settings import InversionAdaptation, LoraAdaptation
from synthlift.generators.pipelines.adapters import (
    DENOISERS,
    LORA_FILE,
    Adapter,
    Room,
    activate,
    inject,
    lora_content,
    lora_parameters,
    make_room,
    parts,
    tokenizer_of,
    words_file,
)

ATTENTION = re.compile(
    r"(?:^|\.)(?:to_(?:q|k|v|out(?:\.0)?|add_out|qkv_mlp_proj)|add_(?:q|k|v)_proj|(?:q|k|v|out)_proj"
    r"|SelfAttention\.(?:q|k|v|o))$"
)
"""Linear layers of attention, as diffusers and the text encoders CLIP and T5 name them.

In blocks of Flux.2 one layer gives query, key, value and what goes beside attention.
"""
START = 0.02
"""Standard deviation of the first factor's numbers, of which the second one's are 0 at first."""


class Learnt(nn.Module, ABC):
    """Numbers that are learnt, as parameters in float32, used by the pipeline where they belong.

    Args:
        named: parameters by name.
    """

    def __init__(self, named: Mapping[str, nn.Parameter]) -> None:
        super().__init__()
        self.names = tuple(named)
        for parameter in named.values():
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
        # Names with dots are none for a module.
        self.numbers = nn.ParameterList(named.values())

    @abstractmethod
    def adapter(self) -> Adapter:
        """The numbers as they are now, as files."""

    @contextmanager
    def wearing(self, weights: Mapping[str, Tensor]) -> Iterator[None]:
        """Use other numbers for a while, by this module's own names for them."""
        own = dict(self.named_parameters())
        before = {name: parameter.detach().clone() for name, parameter in own.items()}
        self.take(weights)
        try:
            yield
        finally:
            self.take(before)

    @torch.no_grad()
    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Change the numbers in place."""
        for name, parameter in self.named_parameters():
            parameter.copy_(weights[name])


class LearntLora(Learnt):
    """Low-rank additions to layers of a pipeline.

    Args:
        pipeline: changed.
        settings: which layers, of what rank.
        name: of the adapter.
        given: weights of adapters that act beside it.
        seed: of its first numbers.

    Raises:
        InputError: there are no such layers.
    """

    def __init__(
        self,
        pipeline: Any,
        settings: LoraAdaptation,
        *,
        name: str,
        given: Mapping[str, float],
        seed: int,
    ) -> None:
        named: dict[str, nn.Parameter] = {}
        for part, network in parts(pipeline).items():
            if part not in DENOISERS and not settings.text_encoder:
                continue
            wanted = layers_of(network, every=settings.layers == "all" and part in DENOISERS)
            if not wanted:
                raise cannot_adapt(pipeline, f"'{part}' has no layers of a known name")
            layers = inject(network, layers=wanted, rank=settings.rank, name=name)
            found = lora_parameters(layers, name=name)
            named |= {f"{part}.{key}": parameter for key, parameter in found.items()}
        activate(pipeline, {**given, name: 1.0})
        super().__init__(named)
        stream = torch.Generator().manual_seed(seed)
        for key, parameter in zip(self.names, self.numbers, strict=True):
            if ".lora_A." in key:
                drawn = torch.randn(parameter.shape, generator=stream)
                parameter.data = (START * drawn).to(parameter.device)
            else:
                nn.init.zeros_(parameter)

    def adapter(self) -> Adapter:
        """See :class:`Learnt`."""
        return Adapter({LORA_FILE: lora_content(dict(zip(self.names, self.numbers, strict=True)))})


class LearntWords(Learnt):
    """Vectors of new words in the text encoders of a pipeline; no other number learns.

    Args:
        pipeline: its tokenizers and text encoders are extended.
        settings: how many vectors a word has.
        words: new word → the words that it begins as.

    Raises:
        InputError: a tokenizer or text encoder cannot be extended.
    """

    def __init__(
        self, pipeline: Any, settings: InversionAdaptation, *, words: Mapping[str, str]
    ) -> None:
        self_words, vectors = tuple(words), settings.vectors
        named = {}
        begins = {
            room_name: [_beginning(tokenizer, table, known, vectors) for known in words.values()]
            for room_name, tokenizer, table in _tables(pipeline)
        }
        rooms = make_room(pipeline, self_words, vectors=vectors)
        for room in rooms:
            rows = torch.cat(begins[room.part]).float().to(room.table.weight.device)
            named[room.part] = nn.Parameter(rows)
        super().__init__(named)
        self._words, self._vectors = self_words, vectors
        for room, rows in zip(rooms, self.numbers, strict=True):
            _read_from(room, rows)

    def adapter(self) -> Adapter:
        """See :class:`Learnt`."""
        files = {}
        for part, rows in zip(self.names, self.numbers, strict=True):
            several = rows.detach().view(len(self._words), self._vectors, -1)
            for name, content in words_file(self._words, several).items():
                files[f"{part}/{name}"] = content
        return Adapter(files)


def layers_of(network: nn.Module, *, every: bool) -> list[str]:
    """Names of the layers that get low-rank additions.

    Args:
        network: of a pipeline, possibly with additions already.
        every: all linear and convolutional layers, not those of attention alone.
    """
    found = []
    for name, layer in network.named_modules():
        inner = layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer
        if ".lora_" in name or name.endswith(".base_layer"):
            continue
        fits = isinstance(inner, nn.Linear | nn.Conv2d) and (
            every or (isinstance(inner, nn.Linear) and ATTENTION.search(name))
        )
        # A convolution in groups has no plain low-rank form.
        if fits and getattr(inner, "groups", 1) == 1:
            found.append(name)
    return found


def _tables(pipeline: Any) -> Iterator[tuple[str, Any, Tensor]]:
    """Text encoders with their tokenizer and table of tokens, as far as they have one."""
    for part, encoder in parts(pipeline).items():
        if part in DENOISERS:
            continue
        tokenizer = tokenizer_of(pipeline, part)
        ask = getattr(encoder, "get_input_embeddings", None)
        if tokenizer is not None and ask is not None:
            yield part, tokenizer, ask().weight.detach()


def _beginning(tokenizer: Any, table: Tensor, known: str, vectors: int) -> Tensor:
    """First vectors [vectors, D] of a word: those of the tokens of known words, in order.

    Of more tokens than vectors, neighbours are averaged; of fewer, the mean of all fills up.
    """
    ids = tokenizer(known, add_special_tokens=False)["input_ids"]
    if not ids:
        return table.mean(0, keepdim=True).repeat(vectors, 1)
    rows = table[ids]
    count = min(vectors, len(ids))
    means = [chunk.mean(0) for chunk in torch.tensor_split(rows, count)]
    return torch.stack([*means, *[rows.mean(0)] * (vectors - count)])


def _read_from(room: Room, rows: nn.Parameter) -> None:
    """Have the new tokens of a text encoder stand for ``rows``, through which gradients flow."""
    numbers = torch.full((room.table.weight.shape[0],), -1)
    numbers[list(room.ids)] = torch.arange(len(room.ids))
    numbers = numbers.to(rows.device)

    def replaced(_table: nn.Module, given: tuple[Any, ...], out: Tensor) -> Tensor:
        place = numbers[given[0]]
        mine = rows[place.clamp(min=0)].to(out.dtype)
        return torch.where((place >= 0)[..., None], mine, out)

    room.table.register_forward_hook(replaced)
