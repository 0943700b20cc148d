"""Checkpoints of open_clip whose text tower is a model of transformers, as BiomedCLIP's is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synthlift.errors import InputError
from synthlift.spec.study import Study
from synthlift.vision.clip.config import ClipConfig
from synthlift.vision.clip.files import TEXT_TYPES, hash_clip
from synthlift.vision.prediction import compute
from tests.clips import BERT, WORDS, tiny_open_clip, tiny_open_clip_with_bert
from tests.unit.vision.test_clip import naming, network, pixels, theirs

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
"""What a folder holds of a text tower that is transformers' own."""
WIDE: dict[str, Any] = {"vocab_size": len(WORDS), "d_model": 16}
ENDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
SIDES = {
    f"{side}_{name}": 2
    for side in ("encoder", "decoder")
    for name in ("layers", "ffn_dim", "attention_heads")
}
TOWERS: dict[str, tuple[dict[str, Any], str]] = {
    "bert": (BERT, "cls_pooler"),
    "roberta": ({**BERT, **ENDS}, "mean_pooler"),
    "xlm-roberta": ({**BERT, **ENDS}, "mean_pooler"),
    "mt5": ({**WIDE, "d_kv": 8, "num_layers": 1, "num_heads": 2}, "mean_pooler"),
    "m2m_100": ({**WIDE, **SIDES, **ENDS, "init_std": 0.5}, "cls_pooler"),
}
"""Settings of a tiny text tower of every type, and how its tokens become one embedding."""


@pytest.fixture
def apart(tmp_path: Path, tiny_clips: dict[str, Path]) -> tuple[Path, Path]:
    """A checkpoint as it is published, and a folder with what describes its text tower."""
    place = shutil.copytree(tiny_clips["open_clip_bert"], tmp_path / "published")
    tower = tmp_path / "tower"
    tower.mkdir()
    for name in FILES:
        shutil.move(place / name, tower / name)
    return place, tower


@pytest.mark.parametrize("kind", TEXT_TYPES)
def test_text_towers_of_every_type_give_the_logits_of_open_clip(kind: str, tmp_path: Path) -> None:
    from transformers import AutoConfig

    settings, pooler = TOWERS[kind]
    tower = AutoConfig.for_model(kind, **settings)
    place = tiny_open_clip_with_bert(tmp_path / "clip", tower=tower, pooler=pooler)
    made = network(place, tuning="zero_shot", templates="a {label}")
    wanted = theirs("open_clip_bert", place, pixels(), ["a ant", "a bee", "a sea horse"])
    np.testing.assert_allclose(compute(made, pixels(), what="logits"), wanted, atol=2e-4)
    assert wanted.std(axis=1).max() > 0.01


def test_a_model_that_can_write_captions_is_used_as_a_clip(tmp_path: Path) -> None:
    place = tiny_open_clip(tmp_path / "coca", captions=True)
    made = network(place, tuning="zero_shot", templates="a {label}")
    wanted = theirs("open_clip", place, pixels(), ["a ant", "a bee", "a sea horse"])
    np.testing.assert_allclose(compute(made, pixels(), what="logits"), wanted, atol=2e-4)
    assert np.ptp(wanted, axis=0).max() > 1e-3
    assert np.ptp(wanted, axis=1).max() > 1e-3


def test_a_text_tower_is_described_where_the_user_says(
    apart: tuple[Path, Path], tiny_clips: dict[str, Path]
) -> None:
    place, tower = apart
    told = network(place, tuning="zero_shot", text_model=str(tower)).head.state_dict()
    whole = network(tiny_clips["open_clip_bert"], tuning="zero_shot").head.state_dict()
    assert torch.equal(told["weight"], whole["weight"])
    named = network(naming(place, tower=tower), tuning="zero_shot").head.state_dict()
    assert torch.equal(named["weight"], whole["weight"])
    digest = hash_clip(place, text_model=str(tower))
    (tower / "vocab.txt").write_text((tower / "vocab.txt").read_text() + "\nant")
    assert hash_clip(place, text_model=str(tower)) != digest
    # BiomedCLIP's own folder has the tokenizer and lacks the settings.
    shutil.copytree(tiny_clips["open_clip_bert"], place, dirs_exist_ok=True)
    (place / "config.json").unlink()
    for name in FILES[1:]:
        (tower / name).unlink()
    apart_from_it = network(place, tuning="zero_shot", text_model=str(tower)).head.state_dict()
    assert torch.equal(apart_from_it["weight"], whole["weight"])


def test_what_a_text_tower_lacks_is_said_with_what_to_do(apart: tuple[Path, Path]) -> None:
    place, tower = apart

    def refused(**settings: str) -> InputError:
        with pytest.raises(InputError) as caught:
            network(place, **settings)
        return caught.value

    lacking = refused()
    assert "has the text tower 'nobody/nothing', and" in lacking.given
    assert "holds no config.json of it" in lacking.given
    assert "text_model: FOLDER" in lacking.remedy
    vocabulary = (tower / "vocab.txt").read_text()
    for name in ("vocab.txt", "tokenizer.json"):
        (tower / name).unlink()
    assert "holds no tokenizer" in refused(text_model=str(tower)).given
    (tower / "tokenizer.json").write_text("{}")
    assert "cannot be read" in refused(text_model=str(tower)).given
    (tower / "tokenizer.json").unlink()
    (tower / "vocab.txt").write_text(vocabulary)
    settings = json.loads((tower / "config.json").read_text())
    (tower / "config.json").write_text(json.dumps({**settings, "hidden_size": 32}))
    assert "do not fit its configuration" in refused(text_model=str(tower)).given
    (tower / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    other = refused(text_model=str(tower))
    assert "a model of type 'gpt2'" in other.given
    assert "bert, roberta" in other.rule


def test_a_text_tower_is_named_for_the_checkpoint_that_needs_it(
    apart: tuple[Path, Path], tiny_clips: dict[str, Path]
) -> None:
    place, tower = apart
    with pytest.raises(InputError, match="'text_model' beside the CLIP checkpoint"):
        network(tiny_clips["open_clip"], text_model=str(tower))
    section = {"model": str(place), "text_model": str(tower)}
    shared = Study.model_validate({"clip": section, "classifier": "clip"})
    config = ClipConfig.model_validate(shared.classifier.settings())
    assert config.model_sha256 == hash_clip(place, text_model=str(tower))
    own = {"kind": "clip", "model": str(tiny_clips["open_clip"])}
    apart_from_it = Study.model_validate({"clip": section, "classifier": own})
    settings = ClipConfig.model_validate(apart_from_it.classifier.settings())
    assert settings.model_sha256 == hash_clip(tiny_clips["open_clip"])
