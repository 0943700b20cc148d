"""What a pipeline tells the network that removes noise, learnt from the pipeline itself.

Every family of pipelines tells its network something else beside the noisy image: embeddings of
one to three text encoders, pooled ones, masks, sizes, positions, a guidance. So the pipeline is
asked to draw, and stopped where it calls the network first: what it says there is what it will say
when it samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from synthlift.generators.adapting.calls import Told, denoiser, first_call, shape_of

KEPT_BYTES = 2**28
"""Of what is said about prompts, at most, so that they need not be encoded anew."""


class Telling:
    """What a pipeline tells its network about prompts.

    Args:
        pipeline: makes images from text.
        size: side in pixels; None = the pipeline's own.
        guidance_scale: of networks that are told it.
        cached: keep what is said; only while text encoders do not change.
        spelled: a prompt as the pipeline is told it, see ``adapter_settings.spelling``.

    Raises:
        InputError: the pipeline has no such network, or what it tells it or makes of its answer is
            not known.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        size: int | None,
        guidance_scale: float,
        cached: bool,
        spelled: Callable[[str], str],
    ) -> None:
        self._pipeline, self._size, self._guidance = pipeline, size, guidance_scale
        self._spelled = spelled
        self._network = denoiser(pipeline)
        self._cached, self._kept = cached, dict[str, Told]()
        self.shape = shape_of(pipeline, self._network, size=size)
        self._one, self._two = self._ask([""]), self._ask(["", ""])

    def __call__(self, prompts: Sequence[str]) -> Told:
        """Arguments of the network for these prompts, but for images and times."""
        if not self._cached:
            return self._ask(prompts)
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._kept:
                self._keep(prompt, self._ask([prompt]))
        try:
            told = [self._kept[prompt] for prompt in prompts]
            joined: Told = _joined(told, self._one, self._two)
        except (KeyError, RuntimeError):
            # Not kept for want of room, or texts of different length that are padded together.
            return self._ask(prompts)
        return joined

    def _keep(self, prompt: str, told: Told) -> None:
        each = sum(leaf.nbytes for leaf in _leaves(told))
        if (len(self._kept) + 1) * each <= KEPT_BYTES:
            self._kept[prompt] = told

    def _ask(self, prompts: Sequence[str]) -> Told:
        spelled = [self._spelled(prompt) for prompt in prompts]
        told = first_call(self._pipeline, self._network, prompts=spelled, size=self._size)
        if isinstance(guidance := told.get("guidance"), Tensor):
            told["guidance"] = torch.full_like(guidance, self._guidance)
        return told


# ── nested arguments ──────────────────────────────────────────────────────────────────────────


def _leaves(told: Any) -> list[Tensor]:
    """All tensors in nested arguments, in order."""
    if isinstance(told, Tensor):
        return [told]
    inner = told.values() if isinstance(told, dict) else told
    return [leaf for one in inner for leaf in _leaves(one)] if _nested(told) else []


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _joined(told: Sequence[Any], one: Any, two: Any) -> Any:
    """The arguments for several prompts from those for each.

    Args:
        told: for each.
        one, two: for one and for two prompts: what differs has a row, or an entry, for each.

    Raises:
        RuntimeError: they do not go together.
    """
    if any(type(each) is not type(one) for each in told):
        raise RuntimeError("what is told of some prompts is not told of others")
    if isinstance(one, Tensor):
        return torch.cat(list(told)) if _rows(one, two) else told[0]
    if isinstance(one, dict):
        return {name: _joined([each[name] for each in told], one[name], two[name]) for name in one}
    if isinstance(one, list) and one and len(two) == 2 * len(one):
        return [entry for each in told for entry in each]
    if isinstance(one, list | tuple):
        return type(one)(map(_joined, zip(*told, strict=True), one, two))
    return told[0]


def _rows(one: Tensor, two: Tensor) -> bool:
    """Whether there is a row for every prompt."""
    if not one.dim() or not two.dim():
        return False
    return two.shape[0] == 2 * one.shape[0] and one.shape[1:] == two.shape[1:]
