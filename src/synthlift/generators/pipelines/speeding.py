"""Drawing faster: compiled networks, remembered steps, a tiny decoder. All of it changes pixels."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs
import torch

from synthlift.errors import InputError, needing_extra
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.files import CONFIG, hash_part
from synthlift.generators.pipelines.opening import UNREADABLE
from synthlift.generators.pipelines.step_cache import StepCache, denoiser_of
from synthlift.weights import locate
from synthlift.weights.files import read_json
from synthlift.weights.missing import missing_weights

TINY = "AutoencoderTiny"
KERNELS = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch keeps what it has compiled; by itself, it is lost with the next start."""


def speed_up(pipeline: Any, config: PipelineConfig, *, compiles: bool) -> StepCache | None:
    """Change an opened pipeline, still on the processor, as its settings say.

    Args:
        pipeline: wears its adapters.
        config: the settings.
        compiles: whether ``compile`` is heeded; not where the network is moved or cut to fit.

    Returns:
        What remembers steps; None where nothing does.

    Raises:
        InputError: the steps cannot be cached; the decoder does not fit, or is another one than
            was planned with.
    """
    if config.decoder:
        _replace_decoder(pipeline, config)
    compiled = config.compile and compiles
    if compiled:
        _keep_kernels()
        decoder = getattr(getattr(pipeline, "vae", None), "decoder", None)
        if decoder is not None:
            decoder.forward = _compiled(decoder.forward)
    if config.cache_interval > 1:
        wrap = _compiled if compiled else None
        return StepCache(pipeline, interval=config.cache_interval, wrap=wrap)
    if compiled:
        network = denoiser_of(pipeline)
        network.forward = _compiled(network.forward)
    return None


def _compiled(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled when it is first called, and anew for each shape of its inputs.

    Kernels are those that the compiler chooses without trying them out: which of several is the
    fastest differs from day to day, and with it the last digits.
    """
    found: Callable[..., Any] = torch.compile(forward, dynamic=False)
    return found


def _keep_kernels() -> None:
    """Have compiled kernels kept where the next process finds them, unless the user says where."""
    said = Path(os.environ.get(KERNELS, ""))
    # Once torch has looked for its own place, that stands there as if the user had said it.
    own = said.parent == Path(tempfile.gettempdir()) and said.name.startswith("torchinductor_")
    if KERNELS not in os.environ or own:
        given = os.environ.get("SYNTHLIFT_DATA_HOME")
        home = Path(given) if given else Path(platformdirs.user_cache_dir("synthlift"))
        os.environ[KERNELS] = str(home / "kernels")


def _replace_decoder(pipeline: Any, config: PipelineConfig) -> None:
    """A tiny autoencoder in the place of the pipeline's own.

    Raises:
        InputError: see :func:`speed_up`.
    """
    with needing_extra("text-to-image", extra="text2image"):
        from diffusers import AutoencoderTiny
    place, own = locate(config.decoder), getattr(pipeline, "vae", None)
    if hash_part(place, what="decoder", setting="decoder") != config.decoder_sha256:
        raise InputError(
            f"the decoder '{config.decoder}' is another one than was planned with",
            rule=f"its files must hash to {config.decoder_sha256}",
            remedy="put the former model back, or run the study anew with --replan",
        )
    kind = read_json(place / CONFIG).get("_class_name", "")
    if kind != TINY:
        raise _unfitting(config, f"is a model of class '{kind}'")
    try:
        tiny: Any = AutoencoderTiny.from_pretrained(
            place, dtype=getattr(torch, config.dtype), use_safetensors=True, local_files_only=True
        )
    except UNREADABLE as error:
        raise _unfitting(config, f"cannot be opened: {str(error).splitlines()[0]}") from None
    if lost := missing_weights(tiny):
        raise _unfitting(config, f"lacks weights, such as {lost}")
    if own is None:
        raise _unfitting(config, f"is of no use: a {type(pipeline).__name__} draws pixels")
    given, wanted = tiny.config.latent_channels, own.config.latent_channels
    if given != wanted:
        raise _unfitting(config, f"decodes {given} channels where the pipeline has {wanted}")
    larger, factor = 2 ** (len(tiny.config.block_out_channels) - 1), pipeline.vae_scale_factor
    if larger != factor:
        raise _unfitting(config, f"enlarges latents {larger} times, and not {factor} times")
    pipeline.vae = tiny.to(memory_format=torch.channels_last)


def _unfitting(config: PipelineConfig, what: str) -> InputError:
    return InputError(
        f"the decoder '{config.decoder}' {what}",
        rule=f"'decoder' is the folder of an {TINY} of diffusers that was made for the latents of "
        f"'{config.model}', such as TAESD for Stable Diffusion 1.x",
        remedy="give another folder, or leave 'decoder' out",
    )
