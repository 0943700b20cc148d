from __future__ import annotations

import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from synthlift.errors import InputError
from synthlift.generators.autoencoders.base import measure_autoencoder, open_autoencoder
from synthlift.generators.autoencoders.files import hash_autoencoder
from synthlift.generators.flow.space import LatentSpace
from synthlift.store.files import hash_files
from synthlift.testing.inputs import draw_images
from tests.autoencoders import pooling_weights, random_weights, write_pair


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    return write_pair(tmp_path / "pair", random_weights())


def _images(count: int = 3, *, size: int = 16) -> Tensor:
    pixels, _ = draw_images(count, seed=0, size=size, channels=3)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 127.5 - 1


def _one_file(pair: Path, path: Path, *, between: str = "", offset: int = 0) -> Path:
    """Both parts in one file, named as TAESD or as diffusers does."""
    both = {}
    for part in ("encoder", "decoder"):
        for name, tensor in torch.load(pair / f"tiny_{part}.pth", weights_only=True).items():
            number, _, rest = name.partition(".")
            moved = int(number) - (offset if part == "decoder" else 0)
            both[f"{part}.{between}{moved}.{rest}"] = tensor
    save_file(both, path)
    return path


def test_folder_parts_and_one_file_with_both_are_one_autoencoder(
    pair: Path, tmp_path: Path
) -> None:
    places = [
        pair,
        pair / "tiny_encoder.pth",
        pair / "tiny_decoder.pth",
        _one_file(pair, tmp_path / "both.safetensors"),
        _one_file(pair, tmp_path / "layers.safetensors", between="layers.", offset=1),
    ]
    images = _images()
    opened = [open_autoencoder(place) for place in places]
    latents = [one.encode(images) for one in opened]
    drawn = [one.decode(latents[0]) for one in opened]
    assert latents[0].shape == (3, 4, 4, 4)
    assert drawn[0].shape == images.shape
    assert all(torch.equal(one, latents[0]) for one in latents)
    assert all(torch.equal(one, drawn[0]) for one in drawn)


def test_what_is_saved_is_the_same_and_no_pickle(pair: Path, tmp_path: Path) -> None:
    opened = open_autoencoder(pair)
    opened.save(tmp_path / "a")
    again = open_autoencoder(tmp_path / "a")
    again.save(tmp_path / "b")
    assert hash_files(tmp_path / "a") == hash_files(tmp_path / "b")
    assert {path.suffix for path in (tmp_path / "a").iterdir()} == {".safetensors"}
    assert torch.equal(opened.encode(_images()), again.encode(_images()))


def test_pooling_and_repeating_gives_squares_of_one_colour_back(tmp_path: Path) -> None:
    opened = open_autoencoder(write_pair(tmp_path / "pooling", pooling_weights()))
    assert measure_autoencoder(opened, tmp_path, device="cpu") == (2, 3)
    images = _images(size=8).repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    assert float((opened.decode(opened.encode(images)) - images).abs().max()) < 0.01


def test_the_hash_follows_the_content_not_the_place(pair: Path, tmp_path: Path) -> None:
    elsewhere = write_pair(tmp_path / "elsewhere", random_weights())
    other = write_pair(tmp_path / "other", random_weights(seed=1))
    assert hash_autoencoder(pair) == hash_autoencoder(elsewhere)
    assert hash_autoencoder(pair) == hash_autoencoder(pair / "tiny_decoder.pth")
    assert hash_autoencoder(pair) != hash_autoencoder(other)
    with pytest.raises(InputError, match="is another one than was planned with"):
        open_autoencoder(other, sha256=hash_autoencoder(pair))


class _Payload:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return Path.touch, (self.path,)  # type: ignore[return-value]


def test_a_pickle_with_code_is_refused_and_not_run(pair: Path, tmp_path: Path) -> None:
    trace = tmp_path / "run"
    (pair / "tiny_encoder.pth").write_bytes(pickle.dumps({"0.weight": _Payload(trace)}))
    with pytest.raises(InputError, match=r"tiny_encoder\.pth' cannot be read") as caught:
        open_autoencoder(pair)
    assert "can run code" in caught.value.rule
    torch.save({"0.weight": _Payload(trace)}, pair / "tiny_encoder.pth")
    with pytest.raises(InputError, match="cannot be read"):
        open_autoencoder(pair)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"7.weight": torch.zeros(3)}, "layer 7 is of an unknown kind"),
        ({"norm.weight": torch.zeros(3)}, "'norm.weight' is no numbered layer"),
        ({"1.conv.9.weight": torch.zeros(8, 8, 3, 3)}, "1.conv.9.weight"),
    ],
)
def test_another_layout_is_refused(pair: Path, change: dict[str, Tensor], words: str) -> None:
    weights = torch.load(pair / "tiny_encoder.pth", weights_only=True)
    torch.save({**weights, **change}, pair / "tiny_encoder.pth")
    with pytest.raises(InputError, match="is laid out otherwise") as caught:
        open_autoencoder(pair)
    assert words in caught.value.given
    torch.save([torch.zeros(3)], pair / "tiny_encoder.pth")
    with pytest.raises(InputError, match="holds no tensors by name"):
        open_autoencoder(pair)


def test_halves_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    deep, shallow = random_weights(channels=3), pooling_weights()
    for number, halves in enumerate(((deep[0], shallow[1]), (deep[0], random_weights()[1]))):
        folder = write_pair(tmp_path / str(number), halves)
        opened = open_autoencoder(folder)
        with pytest.raises(InputError, match="the autoencoder") as caught:
            measure_autoencoder(opened, folder, device="cpu")
        assert "belong together" in caught.value.remedy


def test_what_is_no_autoencoder_is_refused_with_a_remedy(pair: Path, tmp_path: Path) -> None:
    def refused(path: Path) -> InputError:
        with pytest.raises(InputError) as caught:
            hash_autoencoder(path)
        return caught.value

    assert "does not exist" in refused(tmp_path / "nowhere").given
    (tmp_path / "empty").mkdir()
    assert "no file of weights" in refused(tmp_path / "empty").given
    (pair / "other_encoder.pth").write_bytes(b"")
    assert "holds no single autoencoder" in refused(pair).given
    assert "other_decoder.pth" in refused(pair / "other_encoder.pth").remedy
    (pair / "notes.txt").write_text("")
    assert "is no file of weights" in refused(pair / "notes.txt").given
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    (pipeline / "model_index.json").write_text("{}")
    assert str(pipeline / "vae") in refused(pipeline).remedy
    (pipeline / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))
    assert "holds a UNet2DModel" in refused(pipeline).given
    (pipeline / "config.json").write_text(json.dumps({"_class_name": "AutoencoderKL"}))
    assert "0 files of weights as safetensors" in refused(pipeline).given
    (pipeline / "config.json").write_text("[")
    assert "no readable config.json" in refused(pipeline).given


@pytest.mark.slow  # importing diffusers takes seconds
def test_folders_of_diffusers_are_read_and_our_reader_agrees_with_it(tmp_path: Path) -> None:
    from diffusers import AutoencoderKL, AutoencoderTiny

    torch.manual_seed(0)
    widths = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 2), "num_decoder_blocks": (2, 1)}
    tiny = AutoencoderTiny(**widths, **blocks, latent_channels=4)
    large = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
    )
    for name, model in (("tiny", tiny), ("large", large)):
        model.save_pretrained(tmp_path / name)
        opened = open_autoencoder(tmp_path / name)
        assert measure_autoencoder(opened, tmp_path / name, device="cpu") == (2, 4)
        opened.save(tmp_path / f"{name}-again")
        assert hash_autoencoder(tmp_path / f"{name}-again") == hash_autoencoder(tmp_path / name)
    (weights,) = (tmp_path / "tiny").glob("*.safetensors")
    ours = open_autoencoder(weights)
    theirs = open_autoencoder(tmp_path / "tiny")
    images = _images()
    latents = theirs.encode(images)
    torch.testing.assert_close(ours.encode(images), latents)
    torch.testing.assert_close(ours.decode(latents), theirs.decode(latents))


def test_taef2_gives_photographs_back(real_data: Callable[[str], Path]) -> None:
    weights = real_data("../weights/taef2_encoder.pth")
    with tarfile.open(real_data("flowers.tar.gz")) as archive:
        members = [one for one in archive if one.name.endswith(".jpg")][:400:100]
        files = [archive.extractfile(one) for one in members]
        pictures = [Image.open(file).convert("RGB").resize((64, 64)) for file in files if file]
    pixels = torch.from_numpy(np.stack([np.asarray(one) for one in pictures])).permute(0, 3, 1, 2)
    space = LatentSpace(
        open_autoencoder(weights), path=str(weights), image_shape=(64, 64, 3), device="cpu"
    )
    assert space.shape == (8, 8, 32)
    again = space.leave(space.enter(pixels))
    error = (again.float() - pixels.float()).square().mean(dim=(1, 2, 3))
    assert float((10 * torch.log10(255**2 / error)).mean()) > 20
