"""Pipelines that do not fit: the real error at the pipeline's call, and what is done then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.api.drawing import Halved, batches
from synthlift.errors import DeviceMemoryError
from synthlift.generators.pipelines.saving import WAYS, ways
from synthlift.generators.pipelines.saving import _tile as cramp
from synthlift.generators.pipelines.wishes import Settings, Wish
from synthlift.generators.text_to_image.generator import TextToImageFitted
from synthlift.savings import SavesMemory
from synthlift.types import SampleRequest
from tests.further_pipelines import tiny_qwen_image
from tests.pipelines import tiny_sana
from tests.unit.generators.test_text_to_image import fitted

REQUESTS = [SampleRequest(index=i, label=i % 2, seed=i) for i in range(4)]


class Cramped(TextToImageFitted):
    """A pipeline whose device holds one image at most, and that only with savings."""

    needs = 0

    @property
    def ways_to_save(self) -> tuple[str, ...]:
        """As on a device of its own memory."""
        return WAYS

    def _call(self, wishes: Sequence[Wish], settings: Settings, told: dict[str, Any]) -> Any:
        drawn = super()._call(wishes, settings, told)
        if len(wishes) > 1 or self._savings < self.needs:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return drawn


def cramped(model: Path, folder: Path, *, needs: int) -> Cramped:
    found = Cramped(fitted(model, folder)._facts)
    found.needs = needs
    return found


def drawn(generator: TextToImageFitted, halved: list[Halved], *, count: int = 4) -> np.ndarray:
    found = batches(generator, REQUESTS[:count], device="cpu", halved=halved)
    return np.concatenate([batch.pixels for batch in found]).astype(int)


def test_the_chunk_is_halved_then_tiles_are_decoded_then_parts_move(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    expected = drawn(fitted(tiny_pipeline, tmp_path / "usual"), [])
    taken: list[Halved] = []
    generator = cramped(tiny_pipeline, tmp_path / "a", needs=2)
    moved = drawn(generator, taken)
    steps = [(one["micro_batch"], one.get("savings", 0)) for one in taken]
    assert steps == [(2, 0), (1, 0), (1, 1), (1, 2)]
    lean = generator.with_micro_batch(1).with_savings(2)
    pipeline = lean._pipeline
    assert pipeline.vae.use_tiling
    assert pipeline.vae.tile_latent_min_size == 4
    assert hasattr(pipeline.unet, "_hf_hook")
    assert generator._pipelines is lean._pipelines, "two pipelines would take twice the memory"
    assert list(lean._pipelines) == [("text_to_image", 2)]
    # Moving parts changes nothing; each tile is decoded by itself and blended with the next.
    tiled = drawn(cramped(tiny_pipeline, tmp_path / "b", needs=1), [])
    assert np.array_equal(moved, tiled)
    assert 0 < np.abs(moved - expected).mean() < 30


def test_halving_alone_keeps_the_pixels_but_for_rounding(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    usual = drawn(fitted(tiny_pipeline, tmp_path / "usual"), [])
    taken: list[Halved] = []
    alone = drawn(cramped(tiny_pipeline, tmp_path / "alone", needs=0), taken)
    assert [one["micro_batch"] for one in taken] == [2, 1]
    assert np.abs(alone - usual).max() <= 1


def test_what_cannot_be_drawn_at_all_says_what_to_do(tiny_pipeline: Path, tmp_path: Path) -> None:
    with pytest.raises(DeviceMemoryError, match="too small to sample 1 image") as caught:
        drawn(cramped(tiny_pipeline, tmp_path, needs=3), [])
    for remedy in ("bfloat16", "size", "--device"):
        assert remedy in caught.value.remedy


def test_parts_have_no_other_place_on_the_processor(tiny_pipeline: Path, tmp_path: Path) -> None:
    assert ways("cpu") == WAYS[:1]
    assert ways("cuda:1") == WAYS
    assert isinstance(fitted(tiny_pipeline, tmp_path), SavesMemory)


@pytest.mark.parametrize("side", [32, 40, 50, 64, 90])
def test_tiles_meet_without_a_band_that_is_drawn_twice(side: int) -> None:
    from diffusers import AutoencoderKL

    whole = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        sample_size=64,
    ).eval()
    cramp(whole, side=side)
    assert whole.tile_sample_min_size <= side // 2
    with torch.no_grad():
        drawn = whole.decode(torch.randn(1, 4, side // 2, side // 2)).sample
    assert drawn.shape == (1, 3, side, side)


@pytest.mark.parametrize("family", [tiny_sana, tiny_qwen_image])
def test_autoencoders_whose_tiles_have_two_sides_cut_images_too(
    family: Callable[[Path], Path], tmp_path: Path
) -> None:
    side = 32
    usual = fitted(family(tmp_path / "model"), tmp_path / "fit", size=side).with_micro_batch(1)
    whole, lean = drawn(usual, [], count=1), usual.with_savings(1)
    seen: list[int] = []
    vae = lean._pipeline.vae
    vae.decoder.register_forward_pre_hook(lambda _one, given: seen.append(given[0].shape[-1]))
    tiled = drawn(lean, [], count=1)
    assert len(seen) > 1, "several tiles an image"
    assert max(seen) <= side // vae.spatial_compression_ratio // 2
    assert tiled.shape == whole.shape
    assert 0 < np.abs(tiled - whole).mean() < 60
