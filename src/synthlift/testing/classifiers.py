"""What every classifier component must satisfy; third parties run it on their own descriptor.

from synthlift.testing.classifiers import CHECKS

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_my_classifier(check):
    check(MY_DESCRIPTOR, MyConfig())
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.vision.classifiers.base import (
    ImageClassifier,
    ImageNetwork,
    ImageTask,
    build_network,
)
from synthlift.vision.prediction import compute

Check = Callable[[Descriptor, ComponentConfig], None]

SHAPES = ((8, 8, 1), (28, 28, 1), (32, 32, 3))


def _task(shape: tuple[int, int, int] = (28, 28, 1), classes: int = 5) -> ImageTask:
    names = ("ant", "bee", "cat", "dog", "eel")[:classes]
    return ImageTask(shape, classes, (0.4,) * shape[2], (0.3,) * shape[2], names=names)


def _pixels(count: int, shape: tuple[int, int, int] = (28, 28, 1)) -> np.ndarray:
    random = np.random.default_rng(0)
    return random.integers(0, 256, (count, *shape)).astype(np.uint8)


def _network(descriptor: Descriptor, config: ComponentConfig, *, seed: int = 0) -> ImageNetwork:
    return build_network(descriptor, config, task=_task(), seed=seed)


def takes_every_image_shape(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Small and larger, grey and RGB images give logits [n, k] and features [n, d]."""
    for shape in SHAPES:
        network = build_network(descriptor, config, task=_task(shape, 3), seed=0).eval()
        pixels = _pixels(2, shape)
        logits = compute(network, pixels, what="logits", micro_batch=2)
        features = compute(network, pixels, what="features", micro_batch=2)
        assert logits.shape == (2, 3), f"logits {logits.shape} for images {shape}"
        assert features.ndim == 2, f"features {features.shape} for images {shape}"
        assert len(features) == 2
        assert np.isfinite(logits).all()


def head_reads_features(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Logits are the linear head of the features."""
    network = _network(descriptor, config).eval()
    images = torch.from_numpy(_pixels(3)).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        assert torch.equal(network(images), network.head(network.features(images)))


def seed_decides_initialisation(descriptor: Descriptor, config: ComponentConfig) -> None:
    """The same seed gives the same weights; another one others, where none are pretrained."""
    first, again = _network(descriptor, config).state_dict(), _network(descriptor, config)
    assert all(torch.equal(v, first[k]) for k, v in again.state_dict().items())
    heads = [
        build_network(descriptor, config, task=_task(), seed=seed, pretrained=False).head
        for seed in (0, 1)
    ]
    assert not torch.equal(heads[0].state_dict()["weight"], heads[1].state_dict()["weight"])


def leaves_global_random_state(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Building a network draws nothing from anyone else's random numbers."""
    before = torch.get_rng_state()
    _network(descriptor, config)
    assert torch.equal(before, torch.get_rng_state())


def learns(descriptor: Descriptor, config: ComponentConfig) -> None:
    """Gradient steps lower the loss, reach every parameter to be trained, and no frozen one."""
    network = _network(descriptor, config).train()
    learnt = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert bool(learnt) == config.trains(), "what learns nothing has nothing to train"
    if not learnt:
        return
    frozen = {n: p.clone() for n, p in network.named_parameters() if not p.requires_grad}
    images = torch.from_numpy(_pixels(10)).permute(0, 3, 1, 2).float() / 255
    labels = torch.arange(10) % 5
    optimizer = torch.optim.Adam(learnt, lr=1e-3)
    losses = []
    with torch.random.fork_rng(devices=[]):
        for _ in range(12):
            loss = functional.cross_entropy(network(images), labels)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
    silent = [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not silent, f"no gradient reaches {silent}"
    now = dict(network.named_parameters())
    assert all(torch.equal(value, now[name]) for name, value in frozen.items())
    assert losses[-1] < losses[0]


def batch_does_not_matter(descriptor: Descriptor, config: ComponentConfig) -> None:
    """An image's logits are the same bits alone and in company."""
    network = _network(descriptor, config).eval()
    pixels = _pixels(11)
    together = compute(network, pixels, what="logits", micro_batch=8)
    alone = np.concatenate(
        [compute(network, pixels[i : i + 1], what="logits", micro_batch=8) for i in range(11)]
    )
    assert np.array_equal(together, alone)


def survives_saving(descriptor: Descriptor, config: ComponentConfig) -> None:
    """The Config survives JSON, and weights fit a network built without pretrained files."""
    again = type(config).model_validate_json(config.model_dump_json())
    assert again == config
    assert pickle.loads(pickle.dumps(again)) == config
    network = _network(descriptor, config).eval()
    copy = build_network(descriptor, again, task=_task(), seed=9, pretrained=False).eval()
    copy.load_state_dict(network.state_dict())
    pixels = _pixels(2)
    assert np.array_equal(
        compute(network, pixels, what="logits"), compute(copy, pixels, what="logits")
    )


def says_where_weights_come_from(descriptor: Descriptor, config: ComponentConfig) -> None:
    """The report's words about initialisation are there."""
    component: ImageClassifier = descriptor.build(config)
    assert component.initialisation


CHECKS: tuple[Check, ...] = (
    takes_every_image_shape,
    head_reads_features,
    seed_decides_initialisation,
    leaves_global_random_state,
    learns,
    batch_does_not_matter,
    survives_saving,
    says_where_weights_come_from,
)
