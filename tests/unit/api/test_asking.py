"""``synthlift generate`` with words, guidance and steps of one's own: what kinds take, mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthlift import api
from synthlift.api.asking import limits_of, params_for
from synthlift.errors import InputError
from synthlift.registry import available
from synthlift.store.files import hash_files
from tests.unit.api.test_run import cli


def test_guidance_and_steps_change_images_and_are_compared_on_going_on(
    finished: api.Run, tmp_path: Path
) -> None:
    def made(name: str, **changes: Any) -> dict[str, str]:
        asked = {"per_class": 2, "classes": ["cross"], **changes}
        return hash_files(api.generate(finished.path, out=tmp_path / name, **asked).path / "images")

    usual = made("a")
    assert made("b", guidance=1.25, steps=6) == usual, "these are the generator's own"
    other = made("c", guidance=7.5), made("d", steps=9)
    assert len({*usual.values(), *other[0].values(), *other[1].values()}) == 6

    def stop(_done: int, _total: int, _note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made("e", progress=stop)
    begun = json.loads((tmp_path / "e" / "begun.json").read_text())
    assert "params" not in begun, "folders that were begun before go on"
    with pytest.raises(InputError, match="holds the beginning of other images"):
        made("e", steps=9)
    assert made("e") == usual


def test_what_a_kind_cannot_be_asked_is_refused(finished: api.Run, tmp_path: Path) -> None:
    common = ("generate", finished.path, "--out", tmp_path / "out", "--quiet")
    for arguments, words in [
        (("--prompt", "a red seven"), "these can: image_to_image, text_to_image"),
        (("--negative-prompt", "snow"), "a negative prompt"),
        (("--guidance", "20.5"), "0 to 20 for generators of kind flow"),
        (("--guidance", "nan"), "0 to 20"),
        (("--steps", "0"), "1 to 50"),
        (("--prompt", " "), "without words"),
    ]:
        found = cli(*common, *arguments)
        assert found.exit_code == 2, found.output
        assert words in " ".join(found.output.split())
    with pytest.raises(InputError, match="another number of steps") as refused:
        api.generate(
            finished.study.data.source,
            per_class=1,
            out=tmp_path / "out",
            overrides=["generators=[gan]"],
            steps=3,
        )
    assert "flow" in refused.value.rule
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", " \n", "a\x00b", "\ud800"])
def test_a_prompt_is_a_text_of_one_line(text: str) -> None:
    for name in ("prompt", "negative_prompt"):
        with pytest.raises(InputError, match=f"a {name.replace('_', ' ')} with"):
            params_for("text_to_image", **{name: text})  # type: ignore[arg-type]
    assert params_for("text_to_image", prompt=" a red\n\tseven ") == {"prompt": "a red seven"}


def test_values_of_attributes_go_with_no_prompt() -> None:
    with pytest.raises(InputError, match="beside values of sex, tone"):
        params_for("text_to_image", prompt="a seven", attributes=["tone", "sex"])
    found = params_for("text_to_image", negative_prompt="snow", steps=3, attributes=["tone"])
    assert found == {"negative_prompt": "snow", "sampler_steps": 3}
    assert params_for("a kind of a plug-in", prompt="x") == {"prompt": "x"}, "it is asked itself"


def test_every_kind_says_what_it_takes() -> None:
    limits = {kind: limits_of(kind) for kind in available("generators")}
    pipelines = {"guidance_scale": (0, 50), "sampler_steps": (1, 1000)}
    assert {kind: found for kind, found in limits.items() if found} == {
        "flow": {"guidance_scale": (0, 20), "sampler_steps": (1, 50)},
        "image_to_image": pipelines,
        "text_to_image": pipelines,
    }
