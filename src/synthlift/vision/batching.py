"""How a served classifier computes: its batch, its threads and the order of its numbers.

Of a small network most time goes into calling it: eight pictures at once take little longer than
one. A large one is busy with each picture; eight at once save nothing, and since batches have one
size (see :mod:`synthlift.vision.prediction`), one picture alone would take the time of eight.

With the channels of a pixel side by side, as pictures have them, the processor takes half of the
time for 64 pixels in our CNN. What a study computes keeps the usual order, and so every bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.utils.flop_counter import FlopCounterMode

from synthlift.vision.prediction import Classifier

TOGETHER = 8
SMALL_OPERATIONS = 50e6
"""Floating-point operations for one picture. On a processor, batches of 8 took a third of the time
at 25 million (ResNet-8, 64 pixels) and a quarter more at 306 million (the same, 224 pixels)."""


def sized(classifier: Classifier) -> Classifier:
    """The same classifier with the batch, and the order of its numbers, that suit it."""
    pays = _on_a_gpu(classifier) or _operations(classifier) <= SMALL_OPERATIONS
    classifier.micro_batch = TOGETHER if pays else 1
    if not _on_a_gpu(classifier):
        classifier.channels_last = True
        classifier.network.to(memory_format=torch.channels_last)
    return classifier


@contextmanager
def threads_for(classifier: Classifier) -> Iterator[None]:
    """One thread for what is computed in small batches: two would wait for each other."""
    usual = torch.get_num_threads()
    if classifier.micro_batch > 1 and not _on_a_gpu(classifier):
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _on_a_gpu(classifier: Classifier) -> bool:
    return not classifier.device.startswith("cpu")


def _operations(classifier: Classifier) -> float:
    height, width, channels = classifier.facts.image_shape
    picture = torch.zeros(1, channels, height, width, device=classifier.device)
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        classifier.network(picture)
    return float(counted.get_total_flops())
