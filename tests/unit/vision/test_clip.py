from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch.nn.functional import interpolate, normalize

from synthlift.errors import InputError
from synthlift.types import Float32, UInt8
from synthlift.vision.classifiers.base import ImageNetwork, ImageTask, build_network
from synthlift.vision.classifiers.descriptors import CLIP
from synthlift.vision.clip.config import ClipCheckpoint, ClipConfig
from synthlift.vision.clip.files import find_clip, hash_clip
from synthlift.vision.clip.matching import ClipMatch
from synthlift.vision.clip.texts import tokens_for
from synthlift.vision.clip.towers import adapt, build_tower
from synthlift.vision.prediction import (
    ClassifierFacts,
    compute,
    load_classifier,
    save_classifier,
)

CLASSES = ("ant", "bee", "sea_horse")
TASK = ImageTask((16, 16, 3), 3, (0.5,) * 3, (0.2,) * 3, names=CLASSES)
LIBRARIES = ("transformers", "siglip", "open_clip", "open_clip_bert")


def pixels(count: int = 6, side: int = 16) -> UInt8:
    drawn = np.random.default_rng(5).integers(0, 256, (count, side, side, 3))
    return drawn.astype(np.uint8)


def network(model: Path, **settings: object) -> ImageNetwork:
    config = ClipConfig.model_validate({"model": str(model), **settings})
    return build_network(CLIP, config, task=TASK, seed=0).eval()


def theirs(library: str, folder: Path, images: UInt8, texts: list[str]) -> Float32:
    """The library's own cosines [n, t], times its own scale."""
    scaled = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    inputs = (scaled - 0.4) / 0.2
    with torch.no_grad():
        if library == "transformers":
            from transformers import CLIPModel, CLIPTokenizer

            model: Any = CLIPModel.from_pretrained(folder)
            model.train(False)
            tokens = CLIPTokenizer.from_pretrained(folder)(texts, padding=True, return_tensors="pt")
            logits = model(pixel_values=inputs, **tokens).logits_per_image
        elif library == "siglip":
            from transformers import SiglipModel, SiglipTokenizer

            model = SiglipModel.from_pretrained(folder)
            model.train(False)
            tokenizer = SiglipTokenizer.from_pretrained(folder)
            tokens = tokenizer(texts, padding="max_length", max_length=32, return_tensors="pt")
            # Trained without a mask; and what is added to all classes alike is left out.
            found = model(pixel_values=inputs, input_ids=tokens["input_ids"])
            logits = found.logits_per_image - model.logit_bias
        else:
            import open_clip

            if library == "open_clip_bert":
                folder = naming(folder, tower=folder)
            model = open_clip.create_model(f"local-dir:{folder}").eval()
            tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
            written = normalize(model.encode_text(tokenizer(texts)))
            logits = model.logit_scale.exp() * normalize(model.encode_image(inputs)) @ written.T
    wanted: Float32 = logits.numpy()
    return wanted


def naming(folder: Path, *, tower: Path) -> Path:
    """A copy of a checkpoint that says where the text tower's settings lie, as open_clip wants."""
    copied = shutil.copytree(folder, Path(tempfile.mkdtemp()) / "copy")
    file = copied / "open_clip_config.json"
    file.write_text(file.read_text().replace("nobody/nothing", str(tower)))
    return copied


@pytest.mark.parametrize("library", LIBRARIES)
def test_zero_shot_gives_the_logits_of_the_library_itself(
    library: str, tiny_clips: dict[str, Path]
) -> None:
    folder, images = tiny_clips[library], pixels()
    mine = compute(
        network(folder, tuning="zero_shot", templates="a {label}"), images, what="logits"
    )
    wanted = theirs(library, folder, images, ["a ant", "a bee", "a sea horse"])
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(mine, wanted, atol=2e-4)


def test_a_copy_in_half_precision_will_do(tmp_path: Path, tiny_clips: dict[str, Path]) -> None:
    folder = shutil.copytree(tiny_clips["transformers"], tmp_path / "rounded")
    plain, rounded = folder / "model.safetensors", folder / "model.fp16.safetensors"
    save_file({name: one.half() for name, one in load_file(plain).items()}, rounded)
    assert find_clip(folder).weights == (plain,)
    plain.unlink()
    assert find_clip(folder).weights == (rounded,)
    half, whole = (
        compute(network(one, tuning="zero_shot", templates="a {label}"), pixels(), what="logits")
        for one in (folder, tiny_clips["transformers"])
    )
    np.testing.assert_allclose(half, whole, atol=0.1)


def test_an_ensemble_of_prompts_is_the_mean_of_their_embeddings(
    tiny_clips: dict[str, Path],
) -> None:
    folder, texts = tiny_clips["transformers"], ("a {label}", "the {label} of the zoo")
    both = network(folder, templates=texts, names={"ant": "emmet"}).head.state_dict()["weight"]
    apart = [
        normalize(network(folder, templates=t, names={"ant": "emmet"}).head.state_dict()["weight"])
        for t in texts
    ]
    assert torch.allclose(both.norm(dim=1), torch.ones(3), rtol=1e-5)
    assert torch.allclose(both, normalize(apart[0] + apart[1]), atol=1e-5)
    plain = network(folder, templates=texts).head.state_dict()["weight"]
    same = [torch.equal(a, b) for a, b in zip(both, plain, strict=True)]
    assert same == [False, True, True]  # the word for one class changes that class's text alone


@pytest.mark.parametrize("tuning", ["zero_shot", "linear_probe", "lora", "full"])
def test_every_tuning_begins_as_zero_shot(tuning: str, tiny_clips: dict[str, Path]) -> None:
    for library in LIBRARIES:
        first = compute(network(tiny_clips[library], tuning=tuning), pixels(), what="logits")
        begun = compute(network(tiny_clips[library], tuning="zero_shot"), pixels(), what="logits")
        np.testing.assert_allclose(first, begun, atol=2e-4)


def test_images_of_another_size_or_in_grey_are_brought_to_the_checkpoint(
    tiny_clips: dict[str, Path],
) -> None:
    made = network(tiny_clips["transformers"], tuning="zero_shot")
    grey = pixels(side=28)[..., :1]
    scaled = torch.from_numpy(grey.repeat(3, axis=3)).permute(0, 3, 1, 2).float() / 255
    resized = interpolate(scaled, (16, 16), mode="bicubic", antialias=True, align_corners=False)
    with torch.no_grad():
        wanted = made(resized).numpy()
    np.testing.assert_allclose(compute(made, grey, what="logits"), wanted, atol=1e-4)


def test_a_saved_classifier_opens_where_the_checkpoint_is_gone(
    tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    for library, tuning in zip(LIBRARIES, ("lora", "lora", "full", "lora"), strict=True):
        place = shutil.copytree(tiny_clips[library], tmp_path / library)
        config = ClipConfig.model_validate({"model": str(place), "tuning": tuning})
        made = build_network(CLIP, config, task=TASK, seed=1).eval()
        facts = ClassifierFacts(
            kind="clip",
            config=config.model_dump(mode="json"),
            identity="",
            classes=CLASSES,
            image_shape=TASK.image_shape,
            mean=TASK.mean,
            std=TASK.std,
        )
        save_classifier(tmp_path / f"saved {library}", network=made, facts=facts)
        before = compute(made, pixels(), what="logits")
        shutil.rmtree(place)
        again = load_classifier(tmp_path / f"saved {library}")
        assert np.array_equal(again.logits(pixels()), before)


# ── images beside texts ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("library", LIBRARIES)
def test_cosines_depend_on_one_image_and_its_text_alone(
    library: str, tiny_clips: dict[str, Path]
) -> None:
    checkpoint = ClipCheckpoint(model=str(tiny_clips[library]), templates=("a {label}",))
    match, images = ClipMatch(checkpoint, classes=CLASSES), pixels(5)
    cosines = match.classes(images)
    wanted = theirs(library, tiny_clips[library], images, ["a ant", "a bee", "a sea horse"])
    np.testing.assert_allclose(cosines / cosines.max(), wanted / wanted.max(), atol=1e-4)
    assert (np.abs(cosines) <= 1).all()
    embedded = match.embed(images)
    np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
    prompts = ["a bee", "a ant", "a sea horse", "a bee", "a very long sea horse"]
    together = match.prompts(images, prompts)
    np.testing.assert_allclose(together[[0, 3]], cosines[[0, 3], 1], atol=1e-5)
    alone = [match.prompts(images[i : i + 1], [prompts[i]])[0] for i in range(5)]
    assert together.tolist() == alone
    assert np.array_equal(match.classes(images[3:4])[0], cosines[3])


# ── mistakes ──────────────────────────────────────────────────────────────────────────────────


def test_the_hash_follows_what_a_checkpoint_says(
    tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    one = shutil.copytree(tiny_clips["transformers"], tmp_path / "one")
    first = hash_clip(one)
    assert hash_clip(shutil.copytree(one, tmp_path / "two")) == first
    assert hash_clip(one / "model.safetensors") == first
    (one / "notes.md").write_text("nothing to do with it")
    assert hash_clip(one) == first
    text = (one / "merges.txt").read_text()
    (one / "merges.txt").write_text(text + "t h\n")
    assert hash_clip(one) != first


def test_other_folders_are_refused(tmp_path: Path, tiny_clips: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="does not exist"):
        find_clip(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no CLIP checkpoint"):
        find_clip(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="holds a model of type 'bert'"):
        find_clip(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"no readable config\.json"):
        find_clip(tmp_path)
    shutil.copy(tiny_clips["transformers"] / "config.json", tmp_path / "config.json")
    with pytest.raises(InputError, match="no weights as safetensors"):
        find_clip(tmp_path)


@pytest.mark.parametrize("library", ["transformers", "siglip"])
def test_a_checkpoint_without_its_tokenizer_is_refused(
    library: str, tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    place = shutil.copytree(tiny_clips[library], tmp_path / "wordless")
    broken = shutil.copytree(place, tmp_path / "broken")
    for name in ("tokenizer.json", "vocab.json", "spiece.model"):
        (place / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="wordless' has no tokenizer") as refused:
        network(place, tuning="zero_shot")
    assert "vocab.json with merges.txt" in refused.value.rule
    assert "tokenizer_config.json" in refused.value.remedy
    for file in [*broken.glob("tokenizer.json"), *broken.glob("spiece.model")]:
        file.write_text("{}")
    with pytest.raises(InputError, match=r"tokenizer in .*broken' cannot be read"):
        network(broken, tuning="zero_shot")


def test_a_model_of_open_clip_with_a_tokenizer_of_its_own_needs_its_files(
    tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    place = shutil.copytree(tiny_clips["open_clip"], tmp_path / "named")
    said = json.loads((place / "open_clip_config.json").read_text())
    said["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "nobody/nothing"
    (place / "open_clip_config.json").write_text(json.dumps(said))
    with pytest.raises(InputError, match="has no tokenizer"):
        find_clip(place)
    shutil.copy(tiny_clips["open_clip_bert"] / "tokenizer.json", place)
    assert find_clip(place).library == "open_clip"


def test_pickled_weights_are_refused(tmp_path: Path, tiny_clips: dict[str, Path]) -> None:
    shutil.copy(tiny_clips["transformers"] / "config.json", tmp_path / "config.json")
    weights = tmp_path / "pytorch_model.bin"
    torch.save({}, weights)
    for named in (tmp_path, weights):
        with pytest.raises(InputError, match="has pickled weights") as refused:
            find_clip(named)
        assert "safetensors only" in refused.value.rule


def test_changed_or_unfitting_weights_are_refused(
    tmp_path: Path, tiny_clips: dict[str, Path]
) -> None:
    place = shutil.copytree(tiny_clips["transformers"], tmp_path / "clip")
    planned = ClipConfig.model_validate({"model": str(place)})
    weights = place / "model.safetensors"
    tensors = load_file(weights)
    save_file({name: value + 1 for name, value in tensors.items()}, weights)
    with pytest.raises(InputError, match="another one than was planned with"):
        build_network(CLIP, planned, task=TASK, seed=0)
    tensors.pop("visual_projection.weight")
    save_file(tensors, weights)
    lacking = ClipConfig.model_validate({"model": str(place)})
    with pytest.raises(InputError, match=r"1 of \d+ tensors are missing.*visual_projection"):
        build_network(CLIP, lacking, task=TASK, seed=0)
    weights.write_bytes(b"no tensors")
    broken = ClipConfig.model_validate({"model": str(place)})
    with pytest.raises(InputError, match="cannot be read"):
        build_network(CLIP, broken, task=TASK, seed=0)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a photo", "does not name the class; write {label}"),
        ("a {label} on {ground}", "has the placeholder '{ground}'"),
        ("a {label", "expected '}'"),
        ("a {label:d}", "has a format behind {label}"),
        ("a {label!r}", "has a format behind {label}"),
    ],
)
def test_templates_name_the_class_and_nothing_else(
    template: str, said: str, tiny_clips: dict[str, Path]
) -> None:
    with pytest.raises(ValidationError, match=said.replace("{", r"\{").replace("}", r"\}")):
        ClipConfig.model_validate({"model": str(tiny_clips["open_clip"]), "templates": [template]})


def test_a_classifier_without_checkpoint_is_refused() -> None:
    with pytest.raises(ValidationError, match="no CLIP checkpoint is named; write clip: PATH"):
        ClipConfig.model_validate({})


@pytest.mark.parametrize("library", ["transformers", "open_clip", "open_clip_bert"])
def test_texts_that_are_too_long_are_refused(library: str, tiny_clips: dict[str, Path]) -> None:
    # A token a letter, but for the vocabulary that open_clip brings along.
    words = {"open_clip": 30}.get(library, 10)
    fitting = network(tiny_clips[library], templates="{label}", names={"ant": "aa " * words})
    assert fitting.head.state_dict()["weight"].isfinite().all()
    with pytest.raises(InputError, match=r"has \d+ tokens") as refused:
        network(tiny_clips[library], names={"ant": "a really large ant " * 10})
    assert "reads 32" in refused.value.rule


@pytest.mark.parametrize("library", LIBRARIES)
def test_prompts_that_are_too_long_are_compared_by_their_beginning(
    library: str, tiny_clips: dict[str, Path]
) -> None:
    checkpoint = ClipCheckpoint(model=str(tiny_clips[library]))
    tokens, begun = tokens_for(checkpoint), "a large ant " * 20
    assert tokens.count("an ant") < tokens.most == 32 < tokens.count(begun)
    match, images = ClipMatch(checkpoint, classes=CLASSES), pixels(3)
    cosines = match.prompts(images, [f"{begun}flies", f"{begun}sings", f"the bee {begun}"])
    assert cosines.tolist() == match.prompts(images, [begun, begun, f"the bee {begun}"]).tolist()
    assert cosines[2] != match.prompts(images[2:], [begun])[0]


@pytest.mark.parametrize(
    ("package", "library", "tuning"),
    [
        ("transformers", "transformers", "full"),
        ("open_clip", "open_clip", "full"),
        ("peft", "transformers", "lora"),
    ],
)
def test_without_its_packages_it_is_said_how_to_get_them(
    tiny_clips: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    library: str,
    tuning: str,
) -> None:
    config = ClipConfig.model_validate({"model": str(tiny_clips[library]), "tuning": tuning})
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"not installed: {package}") as caught:
        build_network(CLIP, config, task=TASK, seed=0)
    assert caught.value.remedy == "pip install 'synthlift[clip]', or in a clone: make setup"


@pytest.mark.parametrize("package", ["sentencepiece", "google.protobuf"])
def test_without_what_siglip_reads_texts_with_it_is_said_how_to_get_it(
    tiny_clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=f"not installed: {package}") as caught:
        network(tiny_clips["siglip"], tuning="zero_shot")
    assert caught.value.remedy == "pip install 'synthlift[siglip]', or in a clone: make setup"


def test_low_rank_matrices_need_attention() -> None:
    convolutions = {"timm_model_name": "test_convnext", "timm_proj": "linear", "image_size": 32}
    architecture = {
        "library": "open_clip",
        "embedding": 8,
        "size": 32,
        "vision": {"vision_cfg": convolutions},
    }
    tower = build_tower(architecture, learns=False)
    with pytest.raises(InputError, match="LoRA on an image tower of class TimmModel") as caught:
        adapt(tower, rank=4, alpha=4)
    assert "linear_probe" in caught.value.remedy
