"""Pipelines in one file, under the names of the code that Stable Diffusion was published with."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def single_file(pipeline: Path, file: Path) -> Path:
    """The weights of a Stable Diffusion 1.x in one file."""
    weights = {
        part: load_file(next((pipeline / part).glob("*.safetensors")))
        for part in ("unet", "vae", "text_encoder")
    }
    depth = 1 + max(int(n.split(".")[1]) for n in weights["unet"] if n.startswith("down_blocks"))
    layers = 1 + max(
        int(n.split(".")[3]) for n in weights["unet"] if n.startswith("down_blocks.0.resnets")
    )
    named: dict[str, Tensor] = {}
    for name, tensor in weights["unet"].items():
        attends = f"{'.'.join(name.split('.')[:2])}.attentions.0.norm.weight" in weights["unet"]
        named[f"model.diffusion_model.{_unet(name, layers, attending=attends)}"] = tensor
    for name, tensor in weights["vae"].items():
        found = autoencoder_name(name, depth)
        # The original code attends by convolutions of one pixel.
        flat = ".attn_1." in found and tensor.ndim == 2
        named[f"first_stage_model.{found}"] = tensor[:, :, None, None] if flat else tensor
    for name, tensor in weights["text_encoder"].items():
        whole = name if name.startswith("text_model.") else f"text_model.{name}"
        named[f"cond_stage_model.transformer.{whole}"] = tensor
    save_file({name: one.contiguous() for name, one in named.items()}, file)
    return file


def autoencoder_name(name: str, depth: int) -> str:
    """A tensor of an autoencoder of so many levels, by the name of the original code."""
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    if ".attn_1." in name:
        for ours, theirs in ATTENTION.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    up = {"resnets": "block", "upsamplers.0": "upsample"}
    name = re.sub(
        r"up_blocks\.(\d)\.(resnets|upsamplers\.0)",
        lambda m: f"up.{depth - 1 - int(m[1])}.{up[m[2]]}",
        name,
    )
    return name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")


def settings_alone(pipeline: Path, folder: Path) -> Path:
    """A pipeline's folder without weights."""
    ignored = shutil.ignore_patterns("*.safetensors")
    return Path(shutil.copytree(pipeline, folder, ignore=ignored))


def _unet(name: str, layers: int, *, attending: bool) -> str:
    # Layers of attention are named alike.
    renamed = name if ".attentions." in name else _resnet(name)
    for ours, theirs in ENDS.items():
        if name.startswith(f"{ours}."):
            return renamed.replace(ours, theirs, 1)
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.*)", renamed)
    assert found is not None, name
    side, block, kind, layer, rest = found.groups()
    blocks = "input_blocks" if side == "down" else "output_blocks"
    first = (layers + 1) * int(block) + (side == "down")
    if kind == "downsamplers":
        return f"{blocks}.{first + layers}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"{blocks}.{first + layers}.{1 + attending}.{rest}"
    return f"{blocks}.{first + int(layer)}.{int(kind == 'attentions')}.{rest}"


def _resnet(name: str) -> str:
    for ours, theirs in RESNET.items():
        name = re.sub(rf"\.{ours}\.(weight|bias)$", rf".{theirs}.\1", name)
    return name
