"""What text encoders said of a text, remembered: each text is encoded once, and by itself."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
MOST_BYTES = 512 * 2**20
"""Of encoded texts that are kept; the least recently used is forgotten first."""


def remember_texts(pipeline: Any, *, most_bytes: int = MOST_BYTES) -> tuple[TextMemory, ...]:
    """Let a pipeline's text encoders remember; to be called once, before its parts move.

    Encoding each text alone makes what is drawn independent of the texts that it is drawn beside.
    """
    found = []
    for name in ENCODERS:
        encoder = getattr(pipeline, name, None)
        if isinstance(encoder, torch.nn.Module):
            encoder.forward = TextMemory(encoder.forward, most_bytes=most_bytes)
            found.append(encoder.forward)
    return tuple(found)


class TextMemory:
    """A text encoder's ``forward`` that encodes rows of tokens one by one, and each once.

    Args:
        forward: of the encoder.
        most_bytes: of results that are kept.

    Attributes:
        acting: name of the adapter that changes the encoder; each has its own results.
    """

    def __init__(self, forward: Callable[..., Any], *, most_bytes: int) -> None:
        self._forward, self._most, self.acting = forward, most_bytes, ""
        # Decoders offer keys and values for words to come; here none do, and they are large.
        takes = inspect.signature(forward).parameters
        self._usual = {"use_cache": False} if "use_cache" in takes else {}
        self._known: OrderedDict[tuple[object, ...], Any] = OrderedDict()
        self._held = 0

    def __call__(
        self, input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **further: Any
    ) -> Any:
        """What ``forward`` gives for token ids [n, L] and their mask [n, L], if there is one."""
        further = {**self._usual, **further}
        if input_ids is None or any(isinstance(value, Tensor) for value in further.values()):
            return self._forward(input_ids, attention_mask=attention_mask, **further)
        said = repr(sorted(further.items()))
        rows = []
        for row in range(len(input_ids)):
            ids = input_ids[row : row + 1]
            mask = None if attention_mask is None else attention_mask[row : row + 1]
            key = (self.acting, said, _bytes(ids), None if mask is None else _bytes(mask))
            if key not in self._known:
                self._keep(key, self._forward(ids, attention_mask=mask, **further))
            self._known.move_to_end(key)
            rows.append(self._known[key])
        self._forget()
        return _joined(rows)

    def _keep(self, key: tuple[object, ...], found: Any) -> None:
        self._known[key] = found
        self._held += _size(found)

    def _forget(self) -> None:
        while self._held > self._most and len(self._known) > 1:
            self._held -= _size(self._known.popitem(last=False)[1])


def _bytes(tensor: Tensor) -> bytes:
    return bytes(tensor.cpu().numpy().tobytes())


def _joined(parts: list[Any]) -> Any:
    """Results for single rows as one: tensors, tuples of them, and outputs of transformers."""
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(parts)
    if isinstance(first, Mapping):
        return type(first)(**{name: _joined([part[name] for part in parts]) for name in first})
    if isinstance(first, tuple | list):
        return type(first)(_joined(list(several)) for several in zip(*parts, strict=True))
    return first


def _size(found: Any) -> int:
    if isinstance(found, Tensor):
        return found.numel() * found.element_size()
    if isinstance(found, Mapping):
        return sum(_size(value) for value in found.values())
    return sum(_size(value) for value in found) if isinstance(found, tuple | list) else 0
