"""Transformers' models that are like CLIP are used as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize

from synthlift.errors import InputError
from synthlift.types import Float32, UInt8
from synthlift.vision.classifiers.base import ImageNetwork, ImageTask, build_network
from synthlift.vision.classifiers.descriptors import CLIP
from synthlift.vision.clip.config import ClipCheckpoint, ClipConfig
from synthlift.vision.clip.matching import ClipMatch
from synthlift.vision.prediction import ClassifierFacts, compute, load_classifier, save_classifier
from synthlift.weights.recognising import recognise
from tests.duals import KINDS, tiny_dual
from tests.unit.vision.test_clip import pixels

CLASSES = ("ant", "bee", "Sea_horse")
TASK = ImageTask((16, 16, 3), 3, (0.5,) * 3, (0.2,) * 3, names=CLASSES)
LINEAR = tuple(kind for kind in KINDS if kind != "align")
"""Those whose image tower has an attention."""
SIDES = {"align": 64}
"""Pixels a side that a tower sees; kernels need some room."""


@pytest.fixture(scope="session")
def duals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("duals")
    return {kind: tiny_dual(folder / kind, kind, side=SIDES.get(kind, 16)) for kind in KINDS}


def network(model: Path, **settings: object) -> ImageNetwork:
    config = ClipConfig.model_validate({"model": str(model), **settings})
    return build_network(CLIP, config, task=TASK, seed=0).eval()


def theirs(folder: Path, images: UInt8, texts: list[str]) -> Float32:
    """Cosines by transformers' own model and processors, times its own scale."""
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    processing: Any = AutoImageProcessor
    model: Any = AutoModel.from_pretrained(folder)
    model.train(False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prepared = processing.from_pretrained(folder)(list(images), return_tensors="pt")
    if model.config.model_type == "siglip2":  # trained on small letters, without a mask
        whole = {"padding": "max_length", "max_length": 32, "padding_side": "right"}
        small = [text.lower() for text in texts]
        tokens = {"input_ids": tokenizer(small, return_tensors="pt", **whole)["input_ids"]}
    else:
        tokens = tokenizer(texts, return_tensors="pt", padding=True)
    with torch.no_grad():
        seen = normalize(model.get_image_features(**prepared).pooler_output)
        read = normalize(model.get_text_features(**tokens).pooler_output)
        held = model.state_dict()
        scale = 1 / held["temperature"] if "temperature" in held else held["logit_scale"].exp()
        wanted: Float32 = (scale * seen @ read.T).numpy()
    return wanted


@pytest.mark.parametrize("kind", KINDS)
def test_zero_shot_gives_the_logits_of_the_library_itself(
    kind: str, duals: dict[str, Path]
) -> None:
    made = network(duals[kind], tuning="zero_shot", templates="a {label}")
    images = pixels(5, side=SIDES.get(kind, 16))
    wanted = theirs(duals[kind], images, ["a ant", "a bee", "a Sea horse"])
    assert np.abs(wanted).max() > 1
    assert np.ptp(wanted, axis=0).max() > 1e-3, "images differ to it"
    assert np.ptp(wanted, axis=1).max() > 1e-3, "texts differ to it"
    np.testing.assert_allclose(compute(made, images, what="logits"), wanted, atol=2e-4)
    assert recognise(duals[kind]).kind == "clip"


@pytest.mark.parametrize("kind", LINEAR)
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_tuning_begins_as_zero_shot_and_opens_where_the_checkpoint_is_gone(
    kind: str, tuning: str, duals: dict[str, Path], tmp_path: Path
) -> None:
    place = shutil.copytree(duals[kind], tmp_path / kind)
    begun = compute(network(place, tuning="zero_shot"), pixels(), what="logits")
    config = ClipConfig.model_validate({"model": str(place), "tuning": tuning})
    made = build_network(CLIP, config, task=TASK, seed=1).eval()
    np.testing.assert_allclose(compute(made, pixels(), what="logits"), begun, atol=2e-4)
    learn = [name for name, held in made.trunk.named_parameters() if held.requires_grad]
    assert learn
    assert all(".lora_" in name for name in learn) == (tuning == "lora")
    assert not any("text_model" in name for name, _ in made.named_parameters())
    facts = ClassifierFacts(
        kind="clip",
        config=config.model_dump(mode="json"),
        identity="",
        classes=CLASSES,
        image_shape=TASK.image_shape,
        mean=TASK.mean,
        std=TASK.std,
    )
    save_classifier(tmp_path / "saved", network=made, facts=facts)
    before = compute(made, pixels(), what="logits")
    shutil.rmtree(place)
    assert np.array_equal(load_classifier(tmp_path / "saved").logits(pixels()), before)


@pytest.mark.parametrize("kind", KINDS)
def test_cosines_depend_on_one_image_and_its_text_alone(kind: str, duals: dict[str, Path]) -> None:
    checkpoint = ClipCheckpoint(model=str(duals[kind]), templates=("a {label}",))
    match, images = ClipMatch(checkpoint, classes=CLASSES), pixels(5, side=SIDES.get(kind, 16))
    cosines = match.classes(images)
    wanted = theirs(duals[kind], images, ["a ant", "a bee", "a Sea horse"])
    np.testing.assert_allclose(cosines / cosines.max(), wanted / wanted.max(), atol=1e-4)
    together = match.prompts(images, ["a bee", "a ant", "a bee", "a bee", "ant"])
    np.testing.assert_allclose(together[[0, 2]], cosines[[0, 2], 1], atol=1e-5)
    assert match.prompts(images[4:], ["ant"])[0] == together[4]


def test_low_rank_matrices_beside_convolutions_are_refused(duals: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="class AlignModel"):
        network(duals["align"], tuning="lora")
    assert network(duals["align"], tuning="full").trunk.training is False


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_that_is_too_long_is_refused(kind: str, duals: dict[str, Path]) -> None:
    most = 31 if kind == "altclip" else 32
    fitting = network(
        duals[kind], templates="{label}", names={"ant": "a" * (most - 2)}, tuning="linear_probe"
    )
    assert fitting.head.state_dict()["weight"].isfinite().all()
    with pytest.raises(InputError, match=rf"has {most + 1} tokens") as refused:
        network(
            duals[kind], templates="{label}", names={"ant": "a" * (most - 1)}, tuning="zero_shot"
        )
    assert f"reads {most}" in refused.value.rule
    match = ClipMatch(ClipCheckpoint(model=str(duals[kind])), classes=CLASSES)
    images = pixels(2, side=SIDES.get(kind, 16))
    first, second = match.prompts(images[[0, 0]], ["a" * (most - 2), "a" * (most - 3)])
    cut = match.prompts(images[[0, 0]], ["a" * (most - 1), "a" * 2 * most])
    assert cut.tolist() == [first, first] != [second, second]


@pytest.mark.parametrize("kind", ["chinese_clip", "siglip2", "vision-text-dual-encoder"])
def test_half_precision_is_read_and_computed_with_in_full(
    kind: str, duals: dict[str, Path], tmp_path: Path
) -> None:
    from transformers import AutoModel

    place = shutil.copytree(duals[kind], tmp_path / "half")
    AutoModel.from_pretrained(place).to(torch.float16).save_pretrained(place)
    assert {held.dtype for held in load_file(place / "model.safetensors").values()} == {
        torch.float16
    }
    made = network(place, tuning="full")
    assert {held.dtype for held in made.parameters()} == {torch.float32}
    full = compute(network(duals[kind], tuning="full"), pixels(), what="logits")
    np.testing.assert_allclose(compute(made, pixels(), what="logits"), full, atol=0.1)


def test_settings_that_nobody_knows_are_refused(duals: dict[str, Path], tmp_path: Path) -> None:
    place = shutil.copytree(duals["vision-text-dual-encoder"], tmp_path / "odd")
    said = json.loads((place / "config.json").read_text())
    said["text_config"]["model_type"] = "nobody"
    (place / "config.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"cannot be read: .*nobody") as refused:
        network(place, tuning="zero_shot")
    assert "transformers" in refused.value.rule


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_without_its_tokenizer_is_refused(
    kind: str, duals: dict[str, Path], tmp_path: Path
) -> None:
    place = shutil.copytree(duals[kind], tmp_path / "wordless")
    for name in ("tokenizer.json", "vocab.txt"):
        (place / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="wordless' has no tokenizer"):
        ClipCheckpoint(model=str(place))


def test_classes_that_a_tokenizer_does_not_tell_apart_are_refused(
    duals: dict[str, Path],
) -> None:
    checkpoint = ClipCheckpoint(model=str(duals["chinese_clip"]))
    with pytest.raises(InputError, match="does not tell '蜂' from '蟻'") as refused:
        ClipMatch(checkpoint, classes=("bee", "蜂", "蟻"))  # it knows the letters a to z
    assert "names: {蜂: WORDS, 蟻: WORDS}" in refused.value.remedy
    named = ClipCheckpoint(model=str(duals["chinese_clip"]), names={"蜂": "bee", "蟻": "ant"})
    assert len(ClipMatch(named, classes=("蜂", "蟻")).classes(pixels(5))) == 5
    # BERT reads small letters without accents, as it was made to.
    small = network(duals["chinese_clip"], names={"ant": "A", "bee": "a", "Sea_horse": "à"})
    assert small.head.state_dict()["weight"].unique(dim=0).shape[0] == 1


def test_weights_that_do_not_fit_are_refused(duals: dict[str, Path], tmp_path: Path) -> None:
    place = shutil.copytree(duals["chinese_clip"], tmp_path / "short")
    held = load_file(place / "model.safetensors")
    del held["visual_projection.weight"]
    held["text_projection.weight"] = held["text_projection.weight"][:4]
    save_file(held, place / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"2 tensors are missing.*'text_projection.weight'"):
        network(place, tuning="zero_shot")


def test_names_of_former_versions_are_read(duals: dict[str, Path], tmp_path: Path) -> None:
    place = shutil.copytree(duals["altclip"], tmp_path / "former")
    held = load_file(place / "model.safetensors")
    former = {name.replace(".layers.", ".layer."): value for name, value in held.items()}
    now = {name.replace(".layer.", ".layers."): value for name, value in held.items()}
    assert former.keys() != now.keys()
    found = []
    for names in (former, now):
        save_file(names, place / "model.safetensors", {"format": "pt"})
        found.append(compute(network(place), pixels(), what="logits"))
    assert np.array_equal(found[0], found[1])


def test_what_a_saved_processor_says_of_images_is_followed(
    duals: dict[str, Path], tmp_path: Path
) -> None:
    place = shutil.copytree(duals["metaclip_2"], tmp_path / "whole")
    apart = place / "preprocessor_config.json"
    (place / "processor_config.json").write_text(
        json.dumps({"image_processor": json.loads(apart.read_text())})
    )
    apart.unlink()
    known = ClipCheckpoint(model=str(place)).architecture
    assert (known["mean"], known["std"]) == ([0.4] * 3, [0.2] * 3)
    assert known == ClipCheckpoint(model=str(duals["metaclip_2"])).architecture
