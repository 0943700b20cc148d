"""LoRA files of which only a part acts are refused, or said to be, whatever tool wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from synthlift.errors import InputError
from synthlift.generators.pipelines.adapter_settings import LoraFile
from synthlift.generators.pipelines.adapters import add_loras
from synthlift.generators.pipelines.lora_coverage import coverage
from tests.pipelines import tiny_flux, tiny_stable_diffusion_xl
from tests.unit.generators.adapting import draw, fit, settings

BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0.attn1"
OUT = "text_model.encoder.layers.0.self_attn"


def opened(model: Path) -> Any:
    from diffusers import AutoPipelineForText2Image

    return AutoPipelineForText2Image.from_pretrained(model, local_files_only=True)


def layer(pipeline: Any, part: str, name: str) -> nn.Module:
    found: nn.Module = getattr(pipeline, part).get_submodule(name)
    return found


def factors(into: nn.Module, *, down: str, up: str) -> dict[str, Tensor]:
    """The two matrices of rank 2 beside a linear layer, by the names that a tool gives them."""
    assert isinstance(into, nn.Linear)
    draws = torch.Generator().manual_seed(into.in_features)
    first = torch.randn(2, into.in_features, generator=draws)
    return {down: first, up: torch.randn(into.out_features, 2, generator=draws)}


def peft(pipeline: Any, part: str, name: str) -> dict[str, Tensor]:
    into, key = layer(pipeline, part, name), f"{part}.{name}.lora_{{}}.weight"
    return factors(into, down=key.format("A"), up=key.format("B"))


def kohya(into: nn.Module, name: str) -> dict[str, Tensor]:
    both = factors(into, down=f"{name}.lora_down.weight", up=f"{name}.lora_up.weight")
    return {**both, f"{name}.alpha": torch.tensor(1.0)}


def written(folder: Path, tensors: dict[str, Tensor]) -> str:
    save_file(tensors, folder / "lora.safetensors")
    return str(folder / "lora.safetensors")


def found_in(model: Path, folder: Path, tensors: dict[str, Tensor]) -> tuple[int, list[str]]:
    """How many tensors count, and those that are idle once diffusers has loaded the file."""
    pipeline, path = opened(model), Path(written(folder, tensors))
    pipeline.load_lora_weights(
        str(folder), weight_name=path.name, adapter_name="given", local_files_only=True
    )
    found = coverage(pipeline, tensors, name="given")
    return len(found.tensors), list(found.idle)


@pytest.fixture(scope="module")
def some_fit(tiny_pipeline: Path) -> dict[str, Tensor]:
    """A layer of the network, and one of a text encoder that a tiny Stable Diffusion lacks."""
    stranger = {
        f"text_encoder_2.{OUT}.out_proj.lora_{factor}.weight": torch.ones(shape)
        for factor, shape in (("A", (2, 16)), ("B", (16, 2)))
    }
    return {**peft(opened(tiny_pipeline), "unet", f"{BLOCK}.to_q"), **stranger}


def test_files_of_every_tool_act_as_a_whole(tiny_pipeline: Path, tmp_path: Path) -> None:
    pipeline = opened(tiny_pipeline)
    query, out = layer(pipeline, "unet", f"{BLOCK}.to_q"), "encoder.layers.0.self_attn.out_proj"
    told = layer(pipeline, "text_encoder", out)
    of_peft = {
        **peft(pipeline, "unet", f"{BLOCK}.to_q"),
        **factors(
            told,
            down=f"text_encoder.{OUT}.out_proj.lora_A.weight",
            up=f"text_encoder.{OUT}.out_proj.lora_B.weight",
        ),
    }
    old = f"unet.{BLOCK}.processor.to_q_lora"
    of_old_diffusers = {
        **factors(query, down=f"{old}.down.weight", up=f"{old}.up.weight"),
        **factors(
            told,
            down=f"text_encoder.{OUT}.to_out_lora.down.weight",
            up=f"text_encoder.{OUT}.to_out_lora.up.weight",
        ),
    }
    of_kohya = {
        **kohya(query, f"lora_unet_{BLOCK.replace('.', '_')}_to_q"),
        **kohya(told, f"lora_te_{OUT.replace('.', '_')}_out_proj"),
    }
    for tensors in (of_peft, of_old_diffusers, of_kohya):
        assert found_in(tiny_pipeline, tmp_path, tensors) == (4, [])


def test_layers_that_the_network_lacks_are_named(tiny_pipeline: Path, tmp_path: Path) -> None:
    whole = peft(opened(tiny_pipeline), "unet", f"{BLOCK}.to_q")
    query, deep = torch.ones(2, 8), f"unet.{BLOCK.replace('1', '7')}.to_q"
    given = {
        **whole,
        f"{deep}.lora_A.weight": query,
        f"{deep}.lora_B.weight": query.T.contiguous(),
        f"unet.{BLOCK}.to_q.dora_scale": torch.ones(16, 1),
        "prior.lora_A.weight": query.clone(),
        # What changes nothing wherever it is put is not missed.
        "prior.other.lora_A.weight": query.clone(),
        "prior.other.lora_B.weight": torch.zeros(8, 2),
    }
    count, idle = found_in(tiny_pipeline, tmp_path, given)
    assert count == 8
    assert idle == [
        "prior.lora_A.weight",
        f"unet.{BLOCK}.to_q.dora_scale",
        f"{deep}.lora_A.weight",
        f"{deep}.lora_B.weight",
    ]


def test_names_that_diffusers_translates_are_followed(tmp_path: Path) -> None:
    # Stable Diffusion XL, whose blocks other tools number by another scheme.
    model = tiny_stable_diffusion_xl(tmp_path / "xl")
    query = layer(opened(model), "unet", f"{BLOCK}.to_q")
    third = kohya(query, "lora_unet_input_blocks_3_1_transformer_blocks_0_attn1_to_q")
    beyond = kohya(query, "lora_unet_input_blocks_9_1_transformer_blocks_0_attn1_to_q")
    assert found_in(model, tmp_path, third) == (2, [])
    count, idle = found_in(model, tmp_path, {**third, **beyond})
    assert (count, idle) == (4, sorted(one for one in beyond if "alpha" not in one))
    # Flux: one matrix becomes three, and those of T5 are left out by diffusers, which logs nothing.
    model = tiny_flux(tmp_path / "flux")
    fused = kohya(nn.Linear(32, 96), "lora_unet_double_blocks_0_img_attn_qkv")
    assert found_in(model, tmp_path, fused) == (2, [])
    read = "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q"
    unread = factors(
        nn.Linear(32, 32), down=f"{read}.lora_down.weight", up=f"{read}.lora_up.weight"
    )
    count, idle = found_in(model, tmp_path, {**fused, **unread})
    assert (count, idle) == (4, sorted(unread))


def test_a_file_of_which_a_part_acts_is_refused(
    tiny_pipeline: Path, tmp_path: Path, some_fit: dict[str, Tensor]
) -> None:
    config = settings(tiny_pipeline, loras=written(tmp_path, some_fit))
    with pytest.raises(InputError, match="2 of the 4 tensors of the LoRA file") as refused:
        draw(fit(config, tmp_path))
    assert f"'text_encoder_2.{OUT}.out_proj.lora_A.weight'" in refused.value.given
    assert "partial: true" in refused.value.remedy


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_file_with_what_is_no_number_is_refused_as_such(
    number: float, tiny_pipeline: Path, tmp_path: Path
) -> None:
    pipeline = opened(tiny_pipeline)
    tensors = peft(pipeline, "unet", f"{BLOCK}.to_q")
    (last,) = (name for name in tensors if ".lora_B." in name)
    tensors[last][0, 0] = number
    lora = LoraFile.model_validate({"path": written(tmp_path, tensors)})
    with pytest.raises(InputError, match=r"NaN or infinite numbers: in 1 of its 2 .*lora_B") as no:
        add_loras(pipeline, [lora])
    assert "download the file again" in no.value.remedy


def test_the_report_says_of_a_file_that_only_a_part_acts(
    tiny_pipeline: Path, tmp_path: Path, some_fit: dict[str, Tensor]
) -> None:
    path = written(tmp_path, some_fit)
    fitted = fit(settings(tiny_pipeline, loras={"path": path, "partial": True}), tmp_path)
    (warning,) = (said for said in fitted.facts()["warnings"] if "LoRA" in said)
    assert warning.startswith(f"2 of the 4 tensors of the LoRA file '{path}' change nothing")
    known = {name: tensor for name, tensor in some_fit.items() if name.startswith("unet.")}
    (tmp_path / "whole").mkdir()
    whole = written(tmp_path / "whole", known)
    alike = fit(settings(tiny_pipeline, loras=whole), tmp_path)
    assert not any("LoRA" in said for said in alike.facts()["warnings"])
    assert np.array_equal(draw(fitted), draw(alike))
    # That a part may be idle does not mean that one is, nor that the whole file may be.
    allowed = LoraFile.model_validate({"path": whole, "partial": True})
    assert add_loras(opened(tiny_pipeline), [allowed]) == []
    lost = {name: tensor for name, tensor in some_fit.items() if name not in known}
    nothing = {"path": written(tmp_path / "whole", lost), "partial": True}
    with pytest.raises(InputError, match="changes no layer"):
        fit(settings(tiny_pipeline, loras=nothing), tmp_path)
