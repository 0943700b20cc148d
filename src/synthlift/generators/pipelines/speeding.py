"""Drawing faster: compiled networks, remembered steps, a tiny decoder. All of it changes pixels."""

from __future__ import annotations

from typing import Any

import torch

from synthlift.errors import InputError, needing_extra
from synthlift.generators.learning.compiling import compiled, keep_kernels, require_compiler
from synthlift.generators.pipelines.config import PipelineConfig
from synthlift.generators.pipelines.files import CONFIG, hash_part
from synthlift.generators.pipelines.opening import UNREADABLE
from synthlift.generators.pipelines.step_cache import StepCache, denoiser_of
from synthlift.weights import locate
from synthlift.weights.copies import variant_in
from synthlift.weights.files import read_json
from synthlift.weights.missing import missing_weights

TINY = "AutoencoderTiny"


def speed_up(
    pipeline: Any, config: PipelineConfig, *, device: str, compiles: bool
) -> StepCache | None:
    """Change an opened pipeline, still on the processor, as its settings say.

    Args:
        pipeline: wears its adapters.
        config: the settings.
        device: torch device string of where it will draw.
        compiles: whether ``compile`` is heeded; not where the network is moved or cut to fit.

    Returns:
        What remembers steps; None where nothing does.

    Raises:
        InputError: the steps cannot be cached; the decoder does not fit, or is another one than
            was planned with; ``compile`` is set, and nothing here can.
    """
    if config.decoder:
        _replace_decoder(pipeline, config)
    compiling = config.compile and compiles
    if compiling:
        require_compiler(device)  # the generator may come from another machine
        keep_kernels()
        decoder = getattr(getattr(pipeline, "vae", None), "decoder", None)
        if decoder is not None:
            decoder.forward = compiled(decoder.forward)
    if config.cache_interval > 1:
        wrap = compiled if compiling else None
        return StepCache(pipeline, interval=config.cache_interval, wrap=wrap)
    if compiling:
        network = denoiser_of(pipeline)
        network.forward = compiled(network.forward)
    return None


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
            place,
            dtype=getattr(torch, config.dtype),
            use_safetensors=True,
            variant=variant_in(place),
            local_files_only=True,
        )
    except UNREADABLE as error:
        raise _unfitting(config, f"cannot be opened: {str(error).splitlines()[0]}") from None
    if lost := missing_weights(tiny):
        raise _unfitting(config, f"lacks weights, such as {lost}")
    if own is None:
        raise _unfitting(config, f"is of no use: a {type(pipeline).__name__} draws pixels")
    # Those of films, as Qwen-Image's, have a size of another name, and a time.
    given, wanted = tiny.config.latent_channels, own.config.get("latent_channels")
    if wanted is None:
        raise _unfitting(config, f"does not decode the latents of {type(own).__name__}")
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
