from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthlift.errors import InputError
from synthlift.vision.classifiers.base import ImageTask, build_network, channel_statistics
from synthlift.vision.classifiers.descriptors import (
    RESNET,
    SMALL_CNN,
    TIMM,
    ResNetConfig,
    SmallCNNConfig,
    TimmConfig,
)

MODEL = "test_resnet"
TASK = ImageTask((32, 32, 1), 3, (0.5,), (0.25,))


def _weights(
    folder: Path, *, suffix: str, name: str = MODEL
) -> tuple[Path, dict[str, torch.Tensor]]:
    import timm

    with torch.random.fork_rng():
        torch.manual_seed(11)
        state = dict(timm.create_model(name, pretrained=False).state_dict())
    path = folder / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    return path, state


def test_channel_statistics_equal_numpys() -> None:
    pixels = np.random.default_rng(0).integers(0, 200, (7, 5, 6, 3)).astype(np.uint8)
    mean, std = channel_statistics(pixels)
    np.testing.assert_allclose(mean, (pixels / 255).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(std, (pixels / 255).std(axis=(0, 1, 2)))
    assert channel_statistics(np.zeros((2, 4, 4, 1), np.uint8)) == ((0.0,), (1e-3,))


def test_small_cnn_grows_with_the_image() -> None:
    depths = []
    for side in (8, 16, 32, 64, 128):
        network = build_network(
            SMALL_CNN,
            SmallCNNConfig(),
            task=ImageTask((side, side, 3), 3, (0.5,) * 3, (0.2,) * 3),
            seed=0,
        )
        depths.append(sum(isinstance(m, torch.nn.Conv2d) for m in network.modules()))
    assert depths == sorted(depths)
    assert depths[0] == 2
    assert depths[-1] >= 5


@pytest.mark.parametrize(("depth", "convolutions"), [(8, 7), (14, 13), (20, 19), (18, 17)])
def test_residual_network_has_its_depth(depth: int, convolutions: int) -> None:
    network = build_network(RESNET, ResNetConfig(depth=depth), task=TASK, seed=0)  # type: ignore[arg-type]
    spatial = [
        m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3)
    ]
    assert len(spatial) == convolutions


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_timm_loads_a_local_weights_file(tmp_path: Path, suffix: str) -> None:
    path, state = _weights(tmp_path, suffix=suffix)
    config = TimmConfig(model=MODEL, weights=str(path), input_size=32)
    network = build_network(TIMM, config, task=TASK, seed=0)
    loaded = network.state_dict()
    assert torch.equal(loaded["trunk.model.conv1.0.weight"], state["conv1.0.weight"])
    words = TIMM.build(config).initialisation
    assert path.name in words
    assert config.weights_sha256[:12] in words
    assert network.mean.flatten().tolist() != [0.5]


def test_timm_without_weights_says_so() -> None:
    assert "trained from scratch" in TIMM.build(TimmConfig(model=MODEL)).initialisation


def test_unknown_timm_name_gives_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        build_network(TIMM, TimmConfig(model="resnet_18"), task=TASK, seed=0)


def test_missing_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        TimmConfig(model=MODEL, weights=str(tmp_path / "none.pth"))
    (tmp_path / "weights.txt").write_text("x")
    with pytest.raises(InputError, match="weights are read from"):
        TimmConfig(model=MODEL, weights=str(tmp_path / "weights.txt"))
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    broken = TimmConfig(model=MODEL, weights=str(tmp_path / "broken.pth"), input_size=32)
    with pytest.raises(InputError, match="cannot be read"):
        build_network(TIMM, broken, task=TASK, seed=0)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path, _ = _weights(tmp_path, suffix=".safetensors", name="test_efficientnet")
    config = TimmConfig(model=MODEL, weights=str(path), input_size=32)
    with pytest.raises(InputError, match="does not fit timm model 'test_resnet'"):
        build_network(TIMM, config, task=TASK, seed=0)


def test_weights_that_changed_since_planning_are_refused(tmp_path: Path) -> None:
    path, _ = _weights(tmp_path, suffix=".pth")
    config = TimmConfig(model=MODEL, weights=str(path), input_size=32)
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(InputError, match="not the one that was planned with"):
        build_network(TIMM, config, task=TASK, seed=0)


def test_a_transformer_with_a_fixed_input_size_takes_small_images() -> None:
    network = build_network(TIMM, TimmConfig(model="test_vit"), task=TASK, seed=0).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, 32, 32)).shape == (2, 3)
