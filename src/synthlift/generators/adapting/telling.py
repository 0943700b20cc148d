"""What a pipeline tells the network that removes noise, learnt from the pipeline itself.

Every family of pipelines tells its network something else beside the noisy image: embeddings of
one to three text encoders, pooled ones, masks, sizes, positions, a guidance. So the pipeline is
asked to draw, and stopped where it calls the network first: what it says there is what it will say
when it samples.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from synthlift.errors import InputError
from synthlift.generators.pipelines.adapters import DENOISERS
from synthlift.generators.pipelines.opening import told_besides

IMAGES = ("sample", "hidden_states")
TIME = "timestep"
KEPT_BYTES = 2**28
"""Of what is said about prompts, at most, so that they need not be encoded anew."""

Told = dict[str, Any]
"""Arguments of the network by name."""


class _ReachedError(Exception):
    """The network is called; ends the drawing."""

    def __init__(self, told: Told) -> None:
        super().__init__()
        self.told = told


class Shape(NamedTuple):
    """How a pipeline's network takes an image and a time.

    Attributes:
        image: name of the argument.
        size: of one image there, without the batch.
        per_time: what a time of the scheduler is multiplied by.
    """

    image: str
    size: tuple[int, ...]
    per_time: float


class Telling:
    """What a pipeline tells its network about prompts.

    Args:
        pipeline: makes images from text.
        size: side in pixels; None = the pipeline's own.
        guidance_scale: of networks that are told it.
        cached: keep what is said; only while text encoders do not change.
        spelled: a prompt as the pipeline is told it, see ``adapter_settings.spelling``.

    Raises:
        InputError: the pipeline has no such network, or tells it times that nothing is known of.
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
        one, two = self._ask([""]), self._ask(["", ""])
        self.shape = self._shape(one)
        self._batched = _batched(one, two)

    def __call__(self, prompts: Sequence[str]) -> Told:
        """Arguments of the network for these prompts, but for images and times."""
        if not self._cached:
            return self._ask(prompts)
        for prompt in dict.fromkeys(prompts):
            if prompt not in self._kept:
                self._keep(prompt, self._ask([prompt]))
        try:
            return _joined([self._kept[prompt] for prompt in prompts], self._batched)
        except (KeyError, RuntimeError):
            # Not kept for want of room, or texts of different length that are padded together.
            return self._ask(prompts)

    def _keep(self, prompt: str, told: Told) -> None:
        each = sum(leaf.nbytes for leaf in _leaves(told))
        if (len(self._kept) + 1) * each <= KEPT_BYTES:
            self._kept[prompt] = told

    def _ask(self, prompts: Sequence[str]) -> Told:
        spelled = [self._spelled(prompt) for prompt in prompts]
        told = _first_call(self._pipeline, self._network, prompts=spelled, size=self._size, steps=2)
        if isinstance(guidance := told.get("guidance"), Tensor):
            told["guidance"] = torch.full_like(guidance, self._guidance)
        return told

    def _shape(self, told: Told) -> Shape:
        image = next((name for name in IMAGES if name in told), "")
        times = getattr(self._pipeline.scheduler, "timesteps", None)
        known = image and isinstance(told.get(TIME), Tensor) and times is not None
        per_time = float(told[TIME].flatten()[0] / times[0]) if known else 0.0  # type: ignore[index]
        if per_time <= 0:
            raise cannot_adapt(self._pipeline, "how its network is told the time is not known")
        return Shape(image, tuple(told[image].shape[1:]), per_time)


def denoiser(pipeline: Any) -> nn.Module:
    """The network that removes noise.

    Raises:
        InputError: there is none, or there are several.
    """
    found = [getattr(pipeline, name, None) for name in DENOISERS]
    networks = [network for network in found if isinstance(network, nn.Module)]
    if len(networks) != 1:
        raise cannot_adapt(pipeline, f"it has {len(networks)} of unet and transformer")
    return networks[0]


def cannot_adapt(pipeline: Any, reason: str) -> InputError:
    """The error for a pipeline of a kind that cannot be adapted here."""
    return InputError(
        f"a {type(pipeline).__name__} cannot be adapted: {reason}",
        rule="pipelines with one UNet or transformer that removes noise in latents or pixels, as "
        "Stable Diffusion 1 to 3, XL, PixArt, Sana and Flux, can be adapted",
        remedy="take another pipeline, or leave 'adapt' out",
    )


def _first_call(
    pipeline: Any, network: nn.Module, *, prompts: Sequence[str], size: int | None, steps: int
) -> Told:
    """The arguments with which a pipeline calls its network first, gradients included."""
    signature = inspect.signature(network.forward)

    def reached(_network: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        raise _ReachedError(dict(signature.bind(*given, **named).arguments))

    # Below the decorator that switches gradients off.
    call: Callable[..., Any] = inspect.unwrap(type(pipeline).__call__)
    handle = network.register_forward_pre_hook(reached, with_kwargs=True)
    try:
        call(
            pipeline,
            prompt=list(prompts),
            guidance_scale=1.0,
            num_inference_steps=steps,
            generator=[torch.Generator().manual_seed(0) for _ in prompts],
            output_type="latent",
            **told_besides(pipeline, asked="auto" if size is None else size, steps=steps),
        )
    except _ReachedError as end:
        return end.told
    finally:
        handle.remove()
    raise cannot_adapt(pipeline, "it does not call its network")


# ── nested arguments ──────────────────────────────────────────────────────────────────────────


def _leaves(told: Any) -> list[Tensor]:
    """All tensors in nested arguments, in order."""
    if isinstance(told, Tensor):
        return [told]
    inner = told.values() if isinstance(told, dict) else told
    return [leaf for one in inner for leaf in _leaves(one)] if _nested(told) else []


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _batched(one: Told, two: Told) -> list[bool]:
    """Which tensors have a row for every prompt."""
    pairs = zip(_leaves(one), _leaves(two), strict=True)
    return [
        bool(a.dim() and b.dim()) and b.shape[0] == 2 * a.shape[0] and a.shape[1:] == b.shape[1:]
        for a, b in pairs
    ]


def _joined(several: Sequence[Told], batched: Sequence[bool]) -> Told:
    """The arguments for several prompts from those for each."""
    columns = zip(batched, *map(_leaves, several), strict=True)
    leaves = iter([torch.cat(column) if joins else column[0] for joins, *column in columns])
    joined: Told = _rebuilt(several[0], lambda: next(leaves))
    return joined


def _rebuilt(value: Any, leaf: Callable[[], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return leaf()
    if isinstance(value, dict):
        return {name: _rebuilt(one, leaf) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_rebuilt(one, leaf) for one in value)
    return value
