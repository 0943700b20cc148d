"""Pipelines of flow matching in one file, as Stable Diffusion 3 and Flux were published."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.single_files import autoencoder_name

SD3 = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
SD3_BLOCK = {
    "attn.to_out.0": "x_block.attn.proj",
    "attn.to_add_out": "context_block.attn.proj",
    "norm1.linear": "x_block.adaLN_modulation.1",
    "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1",
    "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1",
    "ff_context.net.2": "context_block.mlp.fc2",
}
FLUX = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
FLUX_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.norm_q.weight": "img_attn.norm.query_norm.scale",
    "attn.norm_k.weight": "img_attn.norm.key_norm.scale",
    "attn.norm_added_q.weight": "txt_attn.norm.query_norm.scale",
    "attn.norm_added_k.weight": "txt_attn.norm.key_norm.scale",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
FLUX_SINGLE = {
    "norm.linear": "modulation.lin",
    "attn.norm_q.weight": "norm.query_norm.scale",
    "attn.norm_k.weight": "norm.key_norm.scale",
    "proj_out": "linear2",
}
SAMPLE, CONTEXT = ("to_q", "to_k", "to_v"), ("add_q_proj", "add_k_proj", "add_v_proj")


def sd3_network(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a transformer of Stable Diffusion 3 by the names of the original code."""
    named: dict[str, Tensor] = {}
    last = max(int(found[1]) for n in weights if (found := re.match(r"transformer_.*?(\d+)", n)))
    for name, tensor in weights.items():
        found = re.fullmatch(r"transformer_blocks\.(\d+)\.(.*)", name)
        if found is None:
            swapped = _swapped(tensor) if name.startswith("norm_out") else tensor
            named[_renamed(name, SD3)] = swapped
        elif not found[2].startswith(tuple(f"attn.{one}" for one in (*SAMPLE, *CONTEXT))):
            turned = int(found[1]) == last and found[2].startswith("norm1_context")
            block = f"joint_blocks.{found[1]}.{_renamed(found[2], SD3_BLOCK)}"
            named[block] = _swapped(tensor) if turned else tensor
    for index in range(last + 1):
        for side, parts in (("x_block", SAMPLE), ("context_block", CONTEXT)):
            for kind in ("weight", "bias"):
                ours = [weights[f"transformer_blocks.{index}.attn.{p}.{kind}"] for p in parts]
                named[f"joint_blocks.{index}.{side}.attn.qkv.{kind}"] = torch.cat(ours)
    return named


def flux_network(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of a transformer of Flux by the names of the original code."""
    named: dict[str, Tensor] = {}
    joined: dict[str, list[Tensor]] = {}
    for name, tensor in weights.items():
        found = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.*)", name)
        if found is None:
            named[_renamed(name, FLUX)] = _swapped(tensor) if "norm_out" in name else tensor
            continue
        single, block, rest = found.groups()
        kind = rest.rsplit(".", 1)[1]
        if rest.startswith((*(f"attn.{one}." for one in SAMPLE), "proj_mlp.")):
            place = f"single_blocks.{block}.linear1" if single else f"double_blocks.{block}"
            whole = f"{place}.{kind}" if single else f"{place}.img_attn.qkv.{kind}"
            joined.setdefault(whole, []).append(tensor)
        elif rest.startswith(tuple(f"attn.{one}." for one in CONTEXT)):
            joined.setdefault(f"double_blocks.{block}.txt_attn.qkv.{kind}", []).append(tensor)
        elif single:
            named[f"single_blocks.{block}.{_renamed(rest, FLUX_SINGLE)}"] = tensor
        else:
            named[f"double_blocks.{block}.{_renamed(rest, FLUX_DOUBLE)}"] = tensor
    return {**named, **{name: torch.cat(parts) for name, parts in joined.items()}}


def file_of_parts(
    network: dict[str, Tensor],
    pipeline: Path,
    file: Path,
    *,
    encoders: Sequence[tuple[str, str]],
    vae: str = "first_stage_model.",
    dtype: torch.dtype | None = None,
) -> Path:
    """A network with the autoencoder and text encoders of a pipeline in one file.

    Args:
        network: its tensors, named as they are to be in the file.
        pipeline: folder of diffusers.
        file: that is written.
        encoders: parts of the pipeline with their names in the file, such as ("text_encoder",
            "clip_l").
        vae: prefix of the autoencoder's tensors; "" = there is none.
        dtype: in which all is written; None = as it is.
    """
    named = dict(network)
    if vae:
        weights = load_file(next((pipeline / "vae").glob("*.safetensors")))
        depth = 1 + max(int(n.split(".")[2]) for n in weights if ".down_blocks." in n)
        named |= {f"{vae}{autoencoder_name(n, depth)}": _flat(n, t) for n, t in weights.items()}
    for part, short in encoders:
        for name, tensor in load_file(next((pipeline / part).glob("*.safetensors"))).items():
            kept = name if short == "t5xxl" or name.startswith("text_") else f"text_model.{name}"
            named[f"text_encoders.{short}.transformer.{kept}"] = tensor
    save_file({n: one.to(dtype or one.dtype).contiguous() for n, one in named.items()}, file)
    return file


def _renamed(name: str, names: dict[str, str]) -> str:
    if name in names:
        return names[name]
    start, _, kind = name.rpartition(".")
    return f"{names.get(start, start)}.{kind}"


def _swapped(tensor: Tensor) -> Tensor:
    scale, shift = tensor.chunk(2)
    return torch.cat([shift, scale])


def _flat(name: str, tensor: Tensor) -> Tensor:
    # The original code attends by convolutions of one pixel.
    return tensor[:, :, None, None] if ".attentions." in name and tensor.ndim == 2 else tensor
