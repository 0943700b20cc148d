"""``synthlift generate`` with words, guidance and steps of one's own: what kinds take, mistakes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from synthlift import api
from synthlift.api.asking import limits_of, params_for, remarks_on
from synthlift.api.kept_generators import Kept
from synthlift.errors import InputError
from synthlift.generators.pipelines.noting import APART
from synthlift.generators.text_to_image.config import TextToImageConfig
from synthlift.generators.text_to_image.generator import TextToImageGenerator
from synthlift.registry import available
from synthlift.store.files import hash_files
from tests.unit.api.test_run import cli
from tests.unit.generators.test_lora_coverage import BLOCK, OUT, opened, peft
from tests.unit.generators.test_text_to_image import fitted


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


@pytest.mark.parametrize("earlier", [False, True])
def test_of_what_a_fit_warned_of_a_request_is_told_what_holds_for_it(
    tiny_pipeline: Path, tmp_path: Path, earlier: bool
) -> None:
    file = tmp_path / "my_4step.safetensors"
    idle = {f"text_encoder_2.{OUT}.out_proj.lora_{one}.weight": torch.ones(2, 2) for one in "AB"}
    save_file({**peft(opened(tiny_pipeline), "unet", f"{BLOCK}.to_q"), **idle}, file)
    settings: dict[str, Any] = {"sampler_steps": 30, "guidance_scale": 1, "prompt": "{label}"}
    settings |= {"negative_prompt": "machine", "loras": {"path": str(file), "partial": True}}
    fit = fitted(tiny_pipeline, tmp_path, **settings)
    told = fit.facts()["warnings"]
    assert APART not in fit.facts(), "no report shows it"
    fit.save(tmp_path / "kept")
    saved = tmp_path / "kept" / fit.file
    if earlier:
        facts = json.loads(saved.read_text())
        assert facts.pop(APART)
        # As version 0.1 said it; what else a fit found is of no words and no numbers.
        old = "'crane' means a bird as well as a machine, and the pipeline may draw either: say it"
        told = [old if one.startswith("'crane' means") else one for one in told]
        told += ["the prompt 'a b' is longer than the text encoder reads: the words 'b' are lost"]
        saved.write_text(json.dumps({**facts, "warnings": [*told, "It was adapted in vain"]}))
    kept = TextToImageGenerator(TextToImageConfig(model="embedded")).load(tmp_path / "kept")
    marks = {
        "words": "means a bird as well as",
        "guidance": "no effect at guidance_scale 1",
        "steps": "30 steps of",
        "weights": "change nothing",
        **({"else": "in vain", "length": "the words 'b' are lost"} if earlier else {}),
    }

    def said(**params: Any) -> set[str]:
        found = remarks_on(Kept("drawn", "text_to_image", ("crane",), 3, kept), params)
        assert len(found) == len({*found})
        names = {name for one in found for name, mark in marks.items() if mark in one}
        assert len(names) == len(found), found
        return names

    whole = {*marks}
    assert said() == whole
    assert said(guidance_scale=5.0) == whole - {"guidance"}
    assert said(sampler_steps=4) == whole - {"steps"}
    assert said(prompt="a heron") == whole - {"words", "length"}
    assert said(negative_prompt="snow") == whole
    assert said(prompt="a heron", guidance_scale=5.0, sampler_steps=4) == whole - {
        "words",
        "length",
        "guidance",
        "steps",
    }


def test_a_fit_that_warns_of_nothing_notes_that_its_words_were_looked_at(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    fit = fitted(tiny_pipeline, tmp_path, names={"crane": "heron"})
    fit.save(tmp_path / "kept")
    facts = json.loads((tmp_path / "kept" / fit.file).read_text())
    assert "warnings" not in facts
    assert facts[APART] == {"words": [], "numbers": []}


def test_a_missing_text_encoder_and_a_cut_negative_prompt_are_told_beside_a_prompt(
    tmp_path: Path,
) -> None:
    from tests.flow_files import file_of_parts, sd3_network
    from tests.pipelines import tiny_stable_diffusion_3
    from tests.single_files import settings_alone
    from tests.unit.generators.test_flow_files import CLIPS, network_of

    model = tiny_stable_diffusion_3(tmp_path / "sd3", layers=2, second=8)
    inner = {f"model.diffusion_model.{n}": t for n, t in sd3_network(network_of(model)).items()}
    folder = settings_alone(model, tmp_path / "settings")
    shutil.rmtree(folder / "tokenizer_3")
    file = file_of_parts(inner, model, tmp_path / "sd3.safetensors", encoders=CLIPS)
    settings: dict[str, Any] = {"config": str(folder), "guidance_scale": 1, "prompt": "{label}"}
    fit = fitted(file, tmp_path, negative_prompt="machine " * 100, **settings)
    kept = Kept("drawn", "text_to_image", ("crane",), 3, fit)

    def said(**params: Any) -> list[str]:
        return remarks_on(kept, {"prompt": "a heron", **params})

    assert [("T5" in one, "no effect" in one) for one in said()] == [(True, False), (False, True)]
    t5, cut = said(guidance_scale=5.0)
    assert "T5" in t5
    assert cut.startswith("the negative prompt 'machine machine")
    assert [one for one in said(guidance_scale=5.0, negative_prompt="snow") if one != t5] == []
