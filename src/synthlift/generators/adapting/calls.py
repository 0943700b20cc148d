"""How a pipeline calls the network that removes noise, learnt from the pipeline itself.

Families of pipelines differ in how they hand over images, times, and what they make of the answer:
rows of patches, lists, times that count from noise to image, velocities with the other sign. None
of this is written down here. The pipeline is asked to draw, its network answers with known numbers,
and what the scheduler is given is compared with them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from synthlift.errors import InputError
from synthlift.generators.pipelines import adapter_settings
from synthlift.generators.pipelines.adapters import DENOISERS
from synthlift.generators.pipelines.noting import guided_from
from synthlift.generators.pipelines.opening import LIBRARIES, guidance, told_besides
from synthlift.weights.quiet import quiet

IMAGES = ("sample", "hidden_states", "x")
TIMES = ("timestep", "t")
"""Names of the arguments for noisy images and for times."""
STEPS, HEARD = 3, 2
"""Of a drawing, and those of them that are listened to."""
NEAR = 0.02
"""Of times and answers in half precision."""

Told = dict[str, Any]
"""Arguments of the network by name."""


class _ReachedError(Exception):
    """All that was to be heard was heard; ends the drawing."""


@dataclass(frozen=True)
class Shape:
    """How a pipeline's network takes images and times, and gives its answer.

    Attributes:
        image: name of the argument.
        size: of one image there, without the batch.
        listed: whether images are a list, not a batch.
        time: name of the argument.
        per_time: what a time of the scheduler is multiplied by.
        falls_from: the time that the scheduler's is subtracted from first; None = it is not.
        sign: of the answer, as the scheduler is given it.
    """

    image: str
    size: tuple[int, ...]
    listed: bool
    time: str
    per_time: float
    falls_from: float | None
    sign: int

    def tells(self, told: Told, *, images: Tensor, times_n: Tensor) -> None:
        """Tell of other images [n, *size] and times of the scheduler."""
        like = _batch(told[self.image])
        given = images.to(like.dtype)
        told[self.image] = list(given.unbind()) if self.listed else given
        own = times_n if self.falls_from is None else self.falls_from - times_n
        # Some take one time for all in whole numbers, some one for each.
        told[self.time] = (own * self.per_time).to(told[self.time].dtype)

    def heard(self, answer: Any) -> Tensor:
        """What the network predicts, float32 [n, …], as the scheduler is given it."""
        return self.sign * _batch(answer).float()


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
    return adapter_settings.cannot_adapt(type(pipeline).__name__, reason)


def first_call(pipeline: Any, network: nn.Module, *, prompts: Sequence[str], size: Any) -> Told:
    """The arguments with which a pipeline calls its network first, gradients included."""
    calls: list[Told] = []
    with _listening(network, calls, enough=1):
        _draw(pipeline, prompts=prompts, size=size)
    if not calls:
        raise cannot_adapt(pipeline, "it does not call its network")
    return calls[0]


def shape_of(pipeline: Any, network: nn.Module, *, size: int | None) -> Shape:
    """The first steps of a drawing, of which one is computed.

    Raises:
        InputError: what the pipeline does with times or answers is not known.
    """
    calls: list[Told] = []
    with (
        torch.no_grad(),
        _answering(network) as answers,
        _given(pipeline.scheduler) as given,
        _listening(network, calls, enough=HEARD),
    ):
        _draw(pipeline, prompts=[""], size=size)
    told = calls[0] if calls else {}
    image = next((name for name in IMAGES if name in told), "")
    time = next((name for name in TIMES if isinstance(told.get(name), Tensor)), "")
    if len(calls) < HEARD or not image or not time:
        raise cannot_adapt(pipeline, "how its network is told the image and the time is not known")
    per_time, falls_from = _times(pipeline, [call[time] for call in calls])
    return Shape(
        image=image,
        size=tuple(_batch(told[image]).shape[1:]),
        listed=isinstance(told[image], list),
        time=time,
        per_time=per_time,
        falls_from=falls_from,
        sign=_sign(pipeline, answers, given),
    )


def _times(pipeline: Any, told: Sequence[Tensor]) -> tuple[float, float | None]:
    """What makes times of the network of the scheduler's: a factor, and where it counts from."""
    own = [float(one) for one in pipeline.scheduler.timesteps[:HEARD]]
    there = [float(one.flatten()[0]) for one in told]
    last = float(pipeline.scheduler.config.get("num_train_timesteps") or 0)
    for falls_from in (None, last):
        here = [one if falls_from is None else falls_from - one for one in own]
        # The larger one says most of the factor: the other may be 0.
        most = max(range(HEARD), key=lambda step: abs(here[step]))
        factor = there[most] / here[most] if here[most] else 0.0
        misses = [abs(factor * mine - one) for mine, one in zip(here, there, strict=True)]
        if factor > 0 and max(misses) <= NEAR * abs(there[most]):
            return factor, falls_from
    raise cannot_adapt(pipeline, "how its network is told the time is not known")


def _sign(pipeline: Any, answers: Sequence[Tensor], given: Sequence[Tensor]) -> int:
    """1 where the scheduler is given what the network answers, -1 where the contrary."""
    for answer, one in zip(answers, given, strict=False):
        # The second half is a variance, which samplers of diffusers do not use.
        mine = answer if answer.numel() == one.numel() else answer.chunk(2, dim=1)[0]
        if mine.numel() != one.numel():
            break
        mine, one = mine.flatten().float(), one.flatten().float()
        for sign in (1, -1):
            if float((one - sign * mine).norm()) <= NEAR * float(mine.norm()):
                return sign
    raise cannot_adapt(pipeline, "what it makes of its network's answer is not known")


@quiet(*LIBRARIES)
def _draw(pipeline: Any, *, prompts: Sequence[str], size: int | None) -> None:
    """Draw without guidance, below the decorator that switches gradients off."""
    call: Callable[..., Any] = inspect.unwrap(type(pipeline).__call__)
    scale = guided_from(type(pipeline))
    try:
        call(
            pipeline,
            prompt=list(prompts),
            num_inference_steps=STEPS,
            generator=[torch.Generator().manual_seed(0) for _ in prompts],
            output_type="latent",
            **guidance(pipeline, scale=float(scale), avoided=[], avoids=False),
            **told_besides(pipeline, asked="auto" if size is None else size, steps=STEPS),
        )
    except _ReachedError:
        return
    except ValueError as error:
        raise cannot_adapt(
            pipeline, f"it cannot draw: {str(error).partition(chr(10))[0]}"
        ) from error


@contextmanager
def _listening(network: nn.Module, calls: list[Told], *, enough: int) -> Iterator[None]:
    """Note the arguments of calls, and end the drawing when there are enough."""
    signature = inspect.signature(network.forward)

    def reached(_network: nn.Module, given: tuple[Any, ...], named: Told) -> None:
        calls.append(dict(signature.bind(*given, **named).arguments))
        if len(calls) == enough:
            raise _ReachedError

    handle = network.register_forward_pre_hook(reached, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _answering(network: nn.Module) -> Iterator[list[Tensor]]:
    """Have a network answer noise, whatever it computes; yields its answers."""
    answers: list[Tensor] = []

    def answered(_network: nn.Module, _given: tuple[Any, ...], out: Any) -> Any:
        answer = _batch(out[0])
        stream = torch.Generator().manual_seed(len(answers))
        answers.append(torch.randn(answer.shape, generator=stream).to(answer))
        noise = list(answers[-1].unbind()) if isinstance(out[0], list) else answers[-1]
        return (noise, *out[1:]) if isinstance(out, tuple) else type(out)(noise)

    handle = network.register_forward_hook(answered)
    try:
        yield answers
    finally:
        handle.remove()


@contextmanager
def _given(scheduler: Any) -> Iterator[list[Tensor]]:
    """What a scheduler is told that the network has predicted."""
    given: list[Tensor] = []
    own = scheduler.step

    @functools.wraps(own)
    def step(model_output: Tensor, *further: Any, **named: Any) -> Any:
        given.append(model_output)
        return own(model_output, *further, **named)

    scheduler.step = step
    try:
        yield given
    finally:
        del scheduler.step


def _batch(images: Any) -> Tensor:
    """A batch, which some pipelines hand over as a list."""
    found: Tensor = torch.stack(images) if isinstance(images, list) else images
    return found
