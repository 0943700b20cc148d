"""What generate writes in a thread, while more are drawn, is gone on with where it could not be."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthlift import api
from synthlift.store.files import hash_files


def test_an_image_that_cannot_be_written_ends_generate_and_is_made_again(
    finished: api.Run, tmp_path: Path
) -> None:
    whole = api.generate(finished.path, per_class=3, out=tmp_path / "whole", seed=3)

    class StopError(Exception):
        pass

    def stop(_done: int, _total: int, _note: str) -> None:
        raise StopError

    out = tmp_path / "out"
    with pytest.raises(StopError):
        api.generate(finished.path, per_class=3, out=out, seed=3, progress=stop)
    (begun,) = (out / "images").rglob("*.png")
    in_the_way = begun.with_name("flow_00002.png")
    in_the_way.mkdir()
    with pytest.raises(OSError, match=r"flow_00002\.png"):
        api.generate(finished.path, per_class=3, out=out, seed=3)
    in_the_way.rmdir()
    api.generate(finished.path, per_class=3, out=out, seed=3)
    assert hash_files(out) == hash_files(whole.path)
