"""Combinations of class and attribute that were never seen together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from synthlift.generators.autoencoders.base import open_autoencoder
from synthlift.generators.conditions import Vocabulary
from synthlift.generators.flow.config import FlowConfig, settle
from synthlift.generators.flow.encoding import Encoded, encode_images
from synthlift.generators.flow.generator import FlowGenerator
from synthlift.generators.flow.space import LatentSpace
from synthlift.generators.learning.examples import load_examples
from synthlift.generators.learning.transport import TURNS, Transport, learn_transport, turned
from synthlift.testing.inputs import drawn_inputs
from synthlift.types import ImageSet, RunContext
from tests.autoencoders import pooling_weights, write_pair
from tests.unseen import (
    COLOURS,
    DIGITS,
    VALUES,
    changed,
    fit,
    large,
    recognised,
    without_cells,
)


def test_inverted_digits_that_were_never_seen_are_drawn(tmp_path: Path) -> None:
    fitted = fit(without_cells("inverted"), tmp_path, steps=300)
    attribute, digit = recognised("inverted", fitted, each=10)
    assert attribute >= 0.8, (attribute, digit)
    assert digit >= 0.8, (attribute, digit)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["coloured", "inverted", "rotated"])
def test_digits_are_drawn_with_attributes_that_they_were_never_seen_with(
    kind: str, tmp_path: Path
) -> None:
    attribute, digit = recognised(kind, fit(without_cells(kind), tmp_path), each=24)
    assert attribute >= 0.8, (attribute, digit)
    assert digit >= 0.9, (attribute, digit)


def test_images_are_carried_before_they_are_encoded(tmp_path: Path) -> None:
    """Digits 0, 2, 3 … were seen in one form: the other one is among their latents."""
    train = large(without_cells("inverted"))
    vocabulary = Vocabulary.of(train, ("kind",))
    base = load_examples(train, vocabulary, class_balance=0.0, device="cpu")
    transport = learn_transport(train, vocabulary)
    opened = open_autoencoder(write_pair(tmp_path / "weights", pooling_weights()))
    space = LatentSpace(opened, path="", image_shape=(32, 32, 3), device="cpu")
    given = FlowConfig(autoencoder=str(tmp_path / "weights"), encoded_versions=2)
    config = settle(given, examples=len(train), image_shape=(32, 32, 3))

    def encoded(folder: str, transport: Transport) -> Encoded:
        run = RunContext(folder=tmp_path / folder, seed=1)
        wanted = base.wanted_nk
        return encode_images(
            train, space, wanted_nk=wanted, transport=transport, config=config, run=run
        )

    found, plain = encoded("carried", transport), encoded("carried", Transport())
    before = base.wanted_nk.repeat_interleave(3, dim=0)
    assert torch.equal(plain.wanted_nk, before)
    moved = found.wanted_nk[:, 1] != before[:, 1]
    both = torch.isin(before[:, 0], torch.tensor([1, 4, 7]))
    assert not moved[both].any()
    assert 0.45 < float(moved[~both].float().mean()) < 0.55
    kept = torch.zeros(len(before), dtype=torch.bool)
    kept[::3] = True  # as they are, not augmented
    rows = (moved & kept).nonzero()[:50, 0].numpy()
    images = train.pixels(rows // 3)
    wanted = space.enter(torch.from_numpy(255 - images).permute(0, 3, 1, 2))
    latents = torch.from_numpy(found.rows[rows].astype(np.float32)).permute(0, 3, 1, 2)
    off = (latents - wanted).square().mean() / wanted.var()
    assert float(off) < 0.05
    unmoved = (~moved).nonzero()[:50, 0].numpy()
    assert np.array_equal(found.rows[unmoved], plain.rows[unmoved])
    again = encoded("carried", transport)  # from the files
    assert torch.equal(again.wanted_nk, found.wanted_nk)
    assert np.array_equal(again.rows[rows], found.rows[rows])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "steps"),
    # As many as usual, 1,340, are too few for turned digits, seen so or not: 74 and 78 % are right.
    [("coloured", "auto"), ("inverted", "auto"), ("rotated", 2700)],
)
def test_latents_of_digits_are_drawn_with_attributes_that_they_were_never_seen_with(
    kind: str, steps: int | str, tmp_path: Path
) -> None:
    weights = write_pair(tmp_path / "weights", pooling_weights())
    train = large(without_cells(kind))
    fitted = fit(train, tmp_path, autoencoder=str(weights), width=32, steps=steps)
    attribute, digit = recognised(kind, fitted, each=12)
    assert attribute >= 0.8, (attribute, digit)
    assert digit >= 0.8, (attribute, digit)


@pytest.mark.parametrize("kind", ["coloured", "inverted", "rotated"])
def test_what_an_attribute_does_is_learnt_from_other_classes(kind: str) -> None:
    train = without_cells(kind)
    vocabulary = Vocabulary.of(train, ("kind",))
    transport = learn_transport(train, vocabulary)
    count = VALUES[kind]
    assert len(transport.carries) == count * (count - 1)
    grey = load_digits().images[:50] / 16
    for carry in transport.carries:
        sides = []
        for value in (carry.before, carry.after):
            if kind == "coloured":
                one = grey[..., None] * COLOURS[value]
            elif kind == "rotated":
                one = np.rot90(grey, value, axes=(1, 2))[..., None]
            else:
                one = (1 - grey if value else grey)[..., None]
            sides.append(torch.from_numpy(one * 2 - 1).float().permute(0, 3, 1, 2))
        error = (carry(sides[0]) - sides[1]).square().mean()
        assert float(error) < 0.03 * float(sides[1].var())


def test_what_no_mapping_of_colours_can_put_there_is_not_carried() -> None:
    train = without_cells("dotted")
    assert not learn_transport(train, Vocabulary.of(train, ("kind",))).carries


def test_an_attribute_that_nobody_can_see_is_not_carried() -> None:
    train = without_cells("dotted")
    pixels = train.pixels()
    pixels[:, :2, :2] = 0
    blind = ImageSet.from_arrays(pixels, train.labels, DIGITS)
    blind = replace(blind, attributes=train.attributes)
    assert not learn_transport(blind, Vocabulary.of(blind, ("kind",))).carries


def test_nothing_is_carried_where_all_combinations_or_no_attributes_are_seen() -> None:
    pixels, digit, value = changed("inverted")
    every = ImageSet.from_arrays(pixels, digit, DIGITS)
    every = replace(every, attributes={"kind": np.array([f"v{v}" for v in value])})
    assert not learn_transport(every, Vocabulary.of(every, ("kind",))).carries
    assert not learn_transport(every, Vocabulary.of(every)).carries


def test_missing_values_are_neither_source_nor_goal() -> None:
    train = without_cells("inverted")
    names = train.attributes["kind"].copy()
    names[names == "v1"] = ""
    train = replace(train, attributes={"kind": names})
    assert not learn_transport(train, Vocabulary.of(train, ("kind",))).carries


def test_each_value_becomes_as_likely_as_those_that_were_seen() -> None:
    train = without_cells("rotated")
    transport = learn_transport(train, Vocabulary.of(train, ("kind",)))
    count = 30_000
    stream = torch.Generator().manual_seed(0)
    # Digit 4 lacks value 0; value 4 and class 10 stand for "not said".
    wanted = torch.tensor([[4, 1 + i % 3] for i in range(count)])
    images, moved = transport(torch.zeros(count, 1, 8, 8), wanted, stream=stream)
    shares = torch.bincount(moved[:, 1], minlength=4) / count
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.01, rtol=0)
    assert images.shape == (count, 1, 8, 8)
    for row in ([4, 4], [10, 1]):
        rows = torch.tensor([row]).expand(500, 2)
        _, kept = transport(torch.zeros(500, 1, 8, 8), rows, stream=stream)
        assert torch.equal(kept, rows)


def test_what_was_carried_is_told(tmp_path: Path) -> None:
    facts = fit(without_cells("inverted"), tmp_path, steps=2, width=8).facts()
    assert {(one["from"], one["to"], one["turn"]) for one in facts["carried"]} == {
        ("v0", "v1", "none"),
        ("v1", "v0", "none"),
    }
    off = tmp_path / "off"
    off.mkdir()
    facts = fit(without_cells("inverted"), off, steps=2, width=8, carry=False).facts()
    assert "carried" not in facts
    run = RunContext(folder=off, seed=1)
    plain = FlowGenerator(FlowConfig(steps=2, readings=0, width=8)).fit(drawn_inputs(), run=run)
    assert "carried" not in plain.facts()


def test_the_eight_turns_are_different_and_each_has_an_inverse() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    results = [turned(image, turn) for turn in range(len(TURNS))]
    assert len({tuple(one.flatten().tolist()) for one in results}) == 8
    for one in results:
        assert any(torch.equal(turned(one, turn), image) for turn in range(8))
