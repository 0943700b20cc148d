"""What previews say of how large pictures are in the store."""

from __future__ import annotations

from pathlib import Path

from synthlift.study.packed_sizes import PackedSize, known_sizes, note_sizes
from synthlift.study.planning import make_plan
from tests.unit.study.test_beside import draw, prepared_of


def test_later_looks_count_where_they_saw_more_pictures_or_a_larger_one(tmp_path: Path) -> None:
    session, prepared = prepared_of(draw(tmp_path / "ours", peak=255, seed=0))
    opened = prepared.opened
    plan = make_plan(session, opened, workers=1)
    (name,) = (one.title for one in session.study.generators)

    def known_after(*sizes: int) -> PackedSize | None:
        note_sizes(session, opened, plan, name, sizes)
        return known_sizes(session, opened, plan).get(name)

    assert known_after() is None
    assert known_after(10, 20) == PackedSize(15, 20, 2)
    assert known_after(90) == PackedSize(15, 90, 2)
    assert known_after(40, 50, 60) == PackedSize(50, 90, 3)
    assert known_after(1, 1, 1) == PackedSize(50, 90, 3)
    assert len([*session.store.root.glob("artefacts/measure-*")]) == 3
