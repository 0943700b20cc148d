"""Names for weights, and what happens when they move, change or are pickled."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from synthlift import api
from synthlift.cli import app
from synthlift.errors import InputError
from synthlift.generators.pipelines.adapter_settings import lora_file
from synthlift.vision.clip.files import find_clip
from synthlift.weights import Shelf, hash_weights_of, locate
from synthlift.weights.hub import revision_of
from synthlift.weights.recognising import CLIP_TYPES, licence_text


@pytest.fixture(autouse=True)
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SYNTHLIFT_WEIGHTS", str(tmp_path / "shelf"))
    return tmp_path / "shelf"


def weights(path: Path, value: float = 1.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"layer.weight": torch.full((2, 3), value)}, path)
    return path


def test_a_name_leads_to_the_weights_and_a_path_goes_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights(tmp_path / "here" / "net.safetensors")
    entry = api.add_model(path)
    assert (entry.name, entry.kind, entry.bytes) == ("net", "weights", path.stat().st_size)
    assert locate("net") == path
    monkeypatch.chdir(tmp_path)
    weights(tmp_path / "net")
    assert locate("net") == Path("net")
    assert locate("no such thing") == Path("no such thing")


def test_weights_that_change_or_go_are_found_out(tmp_path: Path) -> None:
    paths = [weights(tmp_path / f"{name}.safetensors") for name in ("kept", "spoilt", "gone")]
    for path in paths:
        api.add_model(path)
    weights(paths[1], value=2.0)
    paths[2].unlink()
    found = {one["name"]: one["state"] for one in api.check_models()}
    assert found == {"kept": "ok", "spoilt": "changed", "gone": "missing"}
    result = CliRunner().invoke(app, ["models", "check", "kept"])
    assert result.exit_code == 0
    assert CliRunner().invoke(app, ["models", "check"]).exit_code == 1
    with pytest.raises(InputError, match="no weights are called 'spoil'"):
        api.check_models("spoil")


def test_a_name_stands_for_one_content(tmp_path: Path) -> None:
    api.add_model(weights(tmp_path / "a.safetensors"), name="mine")
    api.add_model(weights(tmp_path / "copy.safetensors"), name="mine")
    with pytest.raises(InputError, match="already the name of other weights"):
        api.add_model(weights(tmp_path / "b.safetensors", value=2), name="mine")
    with pytest.raises(InputError, match="as a name for weights"):
        api.add_model(tmp_path / "a.safetensors", name="../mine")


def test_what_weights_are_is_recognised(tmp_path: Path, tiny_pipeline: Path) -> None:
    pipeline = api.add_model(tiny_pipeline, name="pipeline")
    assert (pipeline.kind, pipeline.architecture) == ("pipeline", "StableDiffusionPipeline")
    part = api.add_model(tiny_pipeline / "vae", name="vae")
    assert (part.kind, part.architecture) == ("autoencoder", "AutoencoderKL")
    lora = tmp_path / "style.safetensors"
    save_file({"unet.down.lora_A.weight": torch.zeros(2, 2)}, lora)
    assert api.add_model(lora).kind == "lora"
    whole = tmp_path / "v1-5.safetensors"
    save_file({"model.diffusion_model.out.0.weight": torch.zeros(2)}, whole)
    assert api.add_model(whole).kind == "pipeline file"
    for wrong, says in ((tmp_path, "holds no weights"), (tmp_path / "nowhere", "does not exist")):
        with pytest.raises(InputError, match=says):
            api.add_model(wrong)


def test_only_what_can_be_used_is_called_clip(tmp_path: Path) -> None:
    for kind in (*CLIP_TYPES, "groupvit", "blip"):
        folder = weights(tmp_path / kind / "model.safetensors").parent
        (folder / "config.json").write_text(json.dumps({"model_type": kind}))
        (folder / "tokenizer.json").write_text("{}")
        told = CliRunner().invoke(app, ["models", "add", str(folder)]).output
        entry = Shelf().find(kind)
        if kind in CLIP_TYPES:
            assert (entry.kind, find_clip(folder).folder) == ("clip", folder)
            assert f"model: {kind}" in told
            continue
        assert (entry.kind, entry.architecture) == ("model", kind)
        assert f"can use a model of type {kind}: " in told
        with pytest.raises(InputError, match=f"holds a model of type '{kind}'") as caught:
            find_clip(folder)
        assert "those of type clip, siglip, siglip2, align" in caught.value.remedy


def test_what_lacks_its_tokenizer_is_told_when_it_is_named(
    tmp_path: Path, tiny_pipeline: Path
) -> None:
    clip = weights(tmp_path / "plain" / "model.safetensors").parent
    (clip / "config.json").write_text(json.dumps({"model_type": "clip"}))
    pipeline = shutil.copytree(tiny_pipeline, tmp_path / "drawing")
    shutil.rmtree(pipeline / "tokenizer")
    for folder, says in ((clip, "has no tokenizer"), (pipeline, "lacks tokenizer")):
        told = CliRunner().invoke(app, ["models", "add", str(folder)])
        assert told.exit_code == 0
        assert f"No study can use it yet: the {'CLIP' if folder == clip else 'text'}" in told.output
        assert says in told.output


def test_a_file_in_the_cache_of_the_hub_keeps_its_name_and_its_licence(tmp_path: Path) -> None:
    commit = "b" * 40
    model = tmp_path / "models--them--styles"
    held = weights(model / "blobs" / "0123abcd.safetensors").rename(model / "blobs" / "0123abcd")
    shown = model / "snapshots" / commit
    file = shown / "more" / "lightning_4step_lora.safetensors"
    file.parent.mkdir(parents=True)
    file.symlink_to(held)
    (shown / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---")
    (shown / "LICENSE").write_text("No commerce")
    entry = api.add_model(file)
    assert (entry.name, entry.licence) == ("lightning_4step_lora", "cc-by-nc-4.0")
    assert lora_file("lightning_4step_lora").name == file.name
    assert licence_text(file) == "No commerce"
    assert revision_of(file) == commit
    # Folders around others say nothing of them.
    (tmp_path / "LICENSE").write_text("of something else")
    assert licence_text(weights(tmp_path / "own" / "net.safetensors")) == ""


def test_the_licence_is_carried_along(tmp_path: Path) -> None:
    path = weights(tmp_path / "one" / "net.safetensors")
    assert api.add_model(path, name="silent").licence == ""
    (path.parent / "LICENSE.md").write_text("Apache License 2.0\n\nmore")
    assert api.add_model(path, name="text").licence == "Apache License 2.0 (LICENSE.md)"
    (path.parent / "README.md").write_text("---\ntags: [x]\nlicense: openrail++\n---\n# Net\n")
    assert api.add_model(path, name="card").licence == "openrail++"


def test_pickled_weights_are_read_only_when_allowed_and_kept_as_safetensors(
    tmp_path: Path, shelf: Path
) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    shared = torch.arange(6.0).reshape(2, 3)
    torch.save({"a": shared, "b": shared}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(InputError, match=r"are pickled: pytorch_model\.bin") as caught:
        api.add_model(folder)
    assert "--allow-pickle" in caught.value.remedy
    assert not list(shelf.rglob("*"))
    entry = api.add_model(folder, allow_pickle=True)
    place = shelf / "converted" / f"clip-{entry.sha256[:12]}"
    assert (entry.kind, Path(entry.path)) == ("clip", place)
    found = load_file(Path(entry.path) / "model.safetensors")
    assert torch.equal(found["a"], shared)
    assert torch.equal(found["b"], shared)
    assert not list(Path(entry.path).rglob("*.bin"))


def test_what_a_training_goes_on_from_is_left_out_and_told(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    folder.mkdir()
    torch.save({"a": torch.ones(2)}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps({"model_type": "clip"}))
    for name in ("training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state.pth"):
        torch.save({"steps": 3}, folder / name)
    (folder / "scheduler_config.json").write_text("{}")
    result = CliRunner().invoke(app, ["models", "add", str(folder), "--allow-pickle"])
    assert result.exit_code == 0, result.output
    told = "no weights: optimizer.pt, rng_state.pth, scheduler.pt, training_args.bin\n"
    assert told in result.output
    names = {path.name for path in Path(Shelf().find("clip").path).iterdir()}
    assert names == {"config.json", "model.safetensors", "scheduler_config.json"}


def test_a_template_of_prompts_is_hashed_and_kept_and_without_one_the_hash_is_as_ever(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    torch.save({"w": torch.ones(3)}, folder / "pytorch_model.bin")
    (folder / "config.json").write_text("{}")
    (folder / "notes.md").write_text("not hashed")
    line = f"config.json {hashlib.sha256(b'{}').hexdigest()}\n"
    assert hash_weights_of(folder) == hashlib.sha256(line.encode()).hexdigest()
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "config.json").write_text('{"model_type": "qwen3"}')
    entry = api.add_model(folder, allow_pickle=True)
    template = Path(entry.path) / "chat_template.jinja"
    assert template.read_text() == "{{ messages }}"
    template.write_text("{{ other }}")
    assert [one["state"] for one in api.check_models()] == ["changed"]


def test_a_name_that_is_refused_leaves_the_weights_that_have_it(
    tmp_path: Path, shelf: Path
) -> None:
    for folder, value in (("a", 1.0), ("b", 2.0)):
        (tmp_path / folder).mkdir()
        torch.save({"w": torch.full((3,), value)}, tmp_path / folder / "net.ckpt")
    entry = api.add_model(tmp_path / "a" / "net.ckpt", name="mine", allow_pickle=True)
    with pytest.raises(InputError, match="already the name of other weights"):
        api.add_model(tmp_path / "b" / "net.ckpt", name="mine", allow_pickle=True)
    with pytest.raises(InputError, match="as a name for weights"):
        api.add_model(tmp_path / "b" / "net.ckpt", name="../../b/mine", allow_pickle=True)
    assert load_file(entry.path)["w"].tolist() == [1, 1, 1]
    assert [one["state"] for one in api.check_models()] == ["ok"]
    assert [path.name for path in (shelf / "converted").iterdir()] == [Path(entry.path).parent.name]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["net.ckpt"]


def test_adding_converted_weights_again_mends_spoilt_ones(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "net.ckpt")
    entry = api.add_model(tmp_path / "net.ckpt", allow_pickle=True)
    weights(Path(entry.path), value=5.0)
    assert api.add_model(tmp_path / "net.ckpt", allow_pickle=True) == entry
    assert load_file(entry.path)["w"].tolist() == [1, 1, 1]


def test_a_broken_pickle_leaves_nothing_behind(tmp_path: Path, shelf: Path) -> None:
    broken = tmp_path / "net.ckpt"
    broken.write_bytes(b"not a pickle")
    with pytest.raises(InputError, match="cannot be read"):
        api.add_model(broken, allow_pickle=True)
    assert not Shelf().entries()
    assert not list((shelf / "converted").iterdir())


def test_the_list_shows_names_and_json_all_of_it(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["models", "list", "--json"]).stdout.strip() == "[]"
    api.add_model(weights(tmp_path / "net.safetensors"))
    assert "net" in CliRunner().invoke(app, ["models", "list"]).stdout
    (told,) = json.loads(CliRunner().invoke(app, ["models", "list", "--json"]).stdout)
    assert told["sha256"] == Shelf().find("net").sha256
