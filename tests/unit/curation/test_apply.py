from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from synthlift.curation.apply import Judged, judge_chunk, memorisation_gate
from synthlift.types import Filter, FilterInputs, ImageBatch, Selector, Verdict


class Brighter(Filter):
    """Rejects images whose first pixel exceeds a level."""

    def __init__(self, level: int) -> None:
        self.level = level

    def calibrate(self, inputs: FilterInputs) -> None:
        del inputs

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        firsts = [int(image[0, 0, 0]) for image in batch.pixels]
        return [
            Verdict(1 - v / 255, v > self.level, f"above {self.level}" if v > self.level else "")
            for v in firsts
        ]


def _batch(values: list[int]) -> ImageBatch:
    pixels = np.array(values, dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ImageBatch(pixels, np.zeros(len(values), dtype=np.int64))


@pytest.fixture
def judged() -> Judged:
    filters = {"very": Brighter(200), "quite": Brighter(100)}
    return judge_chunk(filters, batch=_batch([10, 150, 250, 90]))


def test_the_first_filter_in_order_gives_the_reason(judged: Judged) -> None:
    assert judged.kept.tolist() == [True, False, False, True]
    assert judged.rejected_by.tolist() == ["", "quite", "very", ""]
    assert judged.reasons.tolist() == ["", "above 100", "above 200", ""]


def test_every_filter_judges_every_image(judged: Judged) -> None:
    assert judged.flags["quite"].tolist() == [False, True, True, False]
    assert judged.columns()["score_very"] == pytest.approx(1 - np.array([10, 150, 250, 90]) / 255)


def test_nothing_vanishes(judged: Judged) -> None:
    assert judged.rejections() == {"very": 1, "quite": 1}
    assert judged.kept.sum() + sum(judged.rejections().values()) == len(judged) == 4


def test_without_filters_all_is_kept() -> None:
    assert judge_chunk({}, batch=_batch([1, 2])).kept.tolist() == [True, True]


def _with_copies(copies: int, total: int) -> Judged:
    levels = [255] * copies + [0] * (total - copies)
    return judge_chunk({"near_copies": Brighter(200), "other": Brighter(50)}, batch=_batch(levels))


def test_the_gate_opens_up_to_its_limit_and_closes_above() -> None:
    fine = memorisation_gate([_with_copies(10, 100)], generator="flow")
    assert (fine.stopped, fine.copies, fine.judged) == (False, 10, 100)
    stopped = memorisation_gate([_with_copies(10, 100), _with_copies(2, 10)], generator="flow")
    assert (stopped.stopped, stopped.copies, stopped.judged) == (True, 12, 110)
    assert stopped.message == (
        "12 of 110 samples (10.9%) of generator 'flow' are copies of training images, more than "
        "10%: its arms are stopped. It has memorised instead of learnt; give it more images, or "
        "train it for fewer steps"
    )


def test_copies_that_no_filter_looked_for_close_the_gate() -> None:
    blind = [_with_copies(0, 100)]
    fine = memorisation_gate(blind, generator="flow", measured=(5, 50))
    assert (fine.stopped, fine.copies, fine.judged) == (False, 5, 50)
    assert memorisation_gate(blind, generator="flow", measured=(6, 50)).stopped
    frozen = memorisation_gate(blind, generator="sd", measured=(6, 50), origins="elsewhere")
    assert "lie as near to training images as copies, more than 10%" in frozen.message
    assert "memorised" not in frozen.message
    changed = memorisation_gate(blind, generator="i2i", measured=(6, 50), origins="changed")
    assert "changes them too little to be new; raise its strength" in changed.message
    found = memorisation_gate([_with_copies(30, 100)], generator="flow", measured=(6, 50))
    assert (found.copies, found.judged) == (30, 100), "the larger share counts"


def test_the_gate_counts_an_image_that_two_filters_flag_once_and_no_other_filter() -> None:
    filters = {
        "other": Brighter(0),
        "exact_duplicates": Brighter(200),
        "near_copies": Brighter(100),
    }
    judged = judge_chunk(filters, batch=_batch([50, 150, 250, 20]))
    assert memorisation_gate([judged], generator="g", limit=0.9).copies == 2
    assert memorisation_gate([], generator="g").stopped is False


class Backwards(Selector):
    """Prefers later images."""

    share = 0.5

    def calibrate(self, inputs: FilterInputs) -> None:
        del inputs

    def order(self, batch: ImageBatch) -> NDArray[np.intp]:
        return np.arange(len(batch))[::-1]


def test_a_selector_chooses_class_by_class_among_what_filters_kept() -> None:
    pixels = _batch([10, 20, 150, 30, 40, 50, 60]).pixels
    batch = ImageBatch(pixels, np.array([0, 0, 0, 0, 0, 1, 1]))
    judged = judge_chunk({"few": Backwards(), "quite": Brighter(100)}, batch=batch)
    assert judged.rejected_by.tolist() == ["few", "few", "quite", "", "", "few", ""]
    assert judged.flags["few"].tolist() == [True, True, False, False, False, True, False]
    assert judged.scores["few"].tolist() == [0.25, 0.5, 1.0, 0.75, 1.0, 0.5, 1.0]
    assert judged.rejections() == {"few": 3, "quite": 1}


def test_a_selector_keeps_at_least_one_image_of_a_class() -> None:
    assert judge_chunk({"few": Backwards()}, batch=_batch([7])).kept.tolist() == [True]
