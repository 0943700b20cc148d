"""The leaves that come along: drawn by seed, with a background that goes with the class."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from synthlift.data import leaves
from synthlift.data.contract import Where
from synthlift.data.sources import open_source
from synthlift.errors import InputError

SOME = [one for one in leaves.leaves() if one.number in (0, 1, 9, 29)]


def test_a_leaf_is_the_same_whenever_it_is_drawn_and_no_two_are_alike() -> None:
    first = {one.id: leaves.picture(one) for one in SOME}
    for one in reversed(SOME):
        pixels, mask = leaves.picture(leaves.leaf(one.id))
        assert (pixels == first[one.id][0]).all()
        assert (mask == first[one.id][1]).all()
        assert (pixels.shape, mask.shape) == ((64, 64, 3), (64, 64))
        assert pixels.dtype == np.uint8
    assert len({pixels.tobytes() for pixels, _ in first.values()}) == len(SOME) == 28


def test_the_mask_covers_the_leaf_and_nothing_else() -> None:
    for one in SOME:
        pixels, mask = leaves.picture(one)
        inside = mask == 255
        if one.species == leaves.BARE:
            assert not mask.any()
            continue
        assert set(np.unique(mask)) == {0, 255}
        assert 0.03 < inside.mean() < 0.6
        assert not inside[[0, -1]].all(axis=1).any(), "a leaf lies within its picture"
        if one.background == "paper":  # nearly white, with a shadow that is grey
            spread = np.ptp(pixels.astype(int), axis=2)
            assert spread[inside].mean() > spread[~inside].mean() + 20


def test_the_collection_has_a_long_tail_and_a_background_that_tells_two_classes() -> None:
    found = Counter((one.species, one.background) for one in leaves.leaves())
    counts = Counter(one.species for one in leaves.leaves())
    assert counts == leaves.CLASSES
    assert max(leaves.COUNTS.values()) == 10 * min(leaves.COUNTS.values())
    assert found["beech", "paper"] == 0.9 * counts["beech"]
    assert found["lime", "soil"] == 0.9 * counts["lime"]
    assert min(found["oak", name] for name in ("paper", "soil", "stone")) > 0.3 * counts["oak"]


def test_it_is_opened_by_name_with_its_attribute_and_with_masks_on_request() -> None:
    source = open_source(Where("embedded:leaves", ""))
    assert len(source.items) == sum(leaves.CLASSES.values())
    assert [item.id for item in source.items] == sorted(item.id for item in source.items)
    assert {item.mask for item in source.items} == {""}
    masked = open_source(Where("embedded:leaves", "", masks="mask"))
    item = masked.items[0]
    assert item.attributes == {"background": "paper"}
    assert item.label == "bare"
    assert (masked.load(item.path, max_pixels=4096).pixels == leaves.picture(SOME[0])[0]).all()
    assert (masked.load_mask(item.mask) == leaves.picture(SOME[0])[1]).all()


@pytest.mark.parametrize("wrong", ["embedded:leafs", "sklearn:leaves"])
def test_another_name_is_refused_with_the_nearest(wrong: str) -> None:
    with pytest.raises(InputError, match="unknown source"):
        open_source(Where(wrong, ""))


def test_columns_that_the_leaves_do_not_have_are_refused() -> None:
    with pytest.raises(InputError, match="tree"):
        open_source(Where("embedded:leaves", "", group="tree"))
