"""Sampling steps that compute the outer blocks of a network and remember the inner ones.

From one step to the next, what inner blocks make of an image changes little. In every n-th step all
blocks are computed; in between, the inner blocks of a UNet give again what they gave (DeepCache, Ma
2024), and those of a transformer add again what they added (Δ-DiT, Chen 2024). Which steps these
are follows from their number alone: caches that look at how much a batch has changed would let an
image depend on the images beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from synthlift.errors import InputError
from synthlift.generators.pipelines.adapters import DENOISERS

ROWS = ("transformer_blocks", "single_transformer_blocks")
"""Lists of blocks of transformers, in the order in which they compute."""
TRANSFORMERS = frozenset(
    {
        "FluxTransformer2DModel",
        "PixArtTransformer2DModel",
        "SD3Transformer2DModel",
        "SanaTransformer2DModel",
    }
)
"""Those that are called once a step. Others have the same lists of blocks, but their pipelines call
them twice, with and without the prompt: what one call remembers is not for the other."""
FEWEST = 3
"""Blocks of a network, of which the first and the last are always computed."""
STREAMS = ("encoder_hidden_states", "hidden_states")
"""What a block is given and gives back, where it gives back two."""

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


class StepCache:
    """A network whose inner blocks are computed in every n-th call only.

    Args:
        pipeline: its network is changed.
        interval: n; 2 and more.
        wrap: what is done to the ``forward`` of each block first, such as compiling it; None =
            nothing.

    Raises:
        InputError: its blocks are not known here, or are too few.
    """

    def __init__(self, pipeline: Any, *, interval: int, wrap: Wrap | None = None) -> None:
        self._interval, self._calls = interval, 0
        self._inner: list[_Remembered] = []
        network = denoiser_of(pipeline)
        skipped, kind = _inner_blocks(network)
        if not skipped:
            raise InputError(
                f"cache_interval {interval} for a {type(network).__name__}",
                rule="the steps of a UNet, and of transformers of Stable Diffusion 3, PixArt, Sana "
                f"and Flux with at least {FEWEST} blocks, can be cached",
                remedy="leave 'cache_interval' out",
            )
        for block in _blocks(network):
            forward = block.forward if wrap is None else wrap(block.forward)
            if any(block is one for one in skipped):
                forward = kind(forward)
                self._inner.append(forward)
            block.forward = forward
        network.register_forward_pre_hook(self._count)

    def begin(self) -> None:
        """Forget what was remembered: another image is drawn."""
        self._calls = 0
        for one in self._inner:
            one.known = None

    def _count(self, _network: nn.Module, _given: tuple[Any, ...]) -> None:
        again = self._calls % self._interval > 0
        self._calls += 1
        for one in self._inner:
            one.again = again


class _Remembered:
    """A block's ``forward`` that can give again what it gave: the same output, as in a UNet.

    Args:
        forward: of the block.

    Attributes:
        again: whether it does so now.
        known: what is remembered; None = nothing yet.
    """

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward
        self.again = False
        self.known: Any = None

    def __call__(self, *given: Any, **named: Any) -> Any:
        """As the block's ``forward``."""
        if not self.again or self.known is None:
            self.known = self._forward(*given, **named)
        return self.known


class _Added(_Remembered):
    """The same for a block of a transformer: what it added to its inputs is added again."""

    def __call__(self, *given: Any, **named: Any) -> Any:
        """As the block's ``forward``."""
        if self.again and self.known is not None:
            return _plus(_streams(given, named, count=len(self.known)), self.known)
        found = self._forward(*given, **named)
        outputs = found if isinstance(found, tuple) else (found,)
        before = _streams(given, named, count=len(outputs))
        self.known = tuple(after - start for after, start in zip(outputs, before, strict=True))
        return found


def _streams(given: tuple[Any, ...], named: dict[str, Any], *, count: int) -> tuple[Tensor, ...]:
    """The inputs that a block changes, in the order of its ``count`` outputs."""
    if count == 1:
        return (named[STREAMS[1]] if STREAMS[1] in named else given[0],)
    return tuple(named[name] for name in STREAMS)


def _plus(inputs: tuple[Tensor, ...], changes: tuple[Tensor, ...]) -> Any:
    found = tuple(start + change for start, change in zip(inputs, changes, strict=True))
    return found if len(found) > 1 else found[0]


def denoiser_of(pipeline: Any) -> Any:
    """The network that removes noise."""
    found = [getattr(pipeline, name, None) for name in DENOISERS]
    return next((network for network in found if network is not None), None)


def _inner_blocks(network: Any) -> tuple[list[nn.Module], type[_Remembered]]:
    """All blocks but the first and the last, and how they are remembered."""
    blocks = _blocks(network)
    inner = blocks[1:-1] if len(blocks) >= FEWEST else []
    return inner, _Remembered if hasattr(network, "down_blocks") else _Added


def _blocks(network: Any) -> list[Any]:
    """All blocks of a UNet or a transformer, in the order in which they compute."""
    if hasattr(network, "down_blocks"):
        middle = getattr(network, "mid_block", None)
        return [*network.down_blocks, *([] if middle is None else [middle]), *network.up_blocks]
    if type(network).__name__ not in TRANSFORMERS:
        return []
    rows = [getattr(network, name, None) for name in ROWS]
    return [block for row in rows if isinstance(row, nn.ModuleList) for block in row]
