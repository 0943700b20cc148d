"""Components are found by kind; plug-in files register as built-ins do."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from synthlift import registry
from synthlift.errors import InputError
from synthlift.registry import ComponentConfig, Descriptor, available, descriptor, load_plugin

PLUGIN = """
from synthlift.registry import ComponentConfig, Descriptor

LOADED = []

class Config(ComponentConfig):
    strength: float = 0.5

class Mine:
    def __init__(self, config):
        self.strength = config.strength

MINE = Descriptor(kind="mine", config=Config, version="1", target=f"{__name__}:Mine")
SYNTHLIFT = {"filters": [MINE]}
"""


@pytest.fixture(autouse=True)
def no_plugins_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_plugins", {})


def plugin(folder: Path, text: str = PLUGIN) -> Path:
    path = folder / "mine.py"
    path.write_text(text)
    return path


def test_built_ins_are_found_through_entry_points() -> None:
    assert "flow" in available("generators")
    assert {"exact_duplicates", "near_copies", "class_agreement"} <= set(available("filters"))
    assert {"small_cnn", "resnet", "timm"} <= set(available("classifiers"))


REQUIRED = {
    "timm": {"model": "resnet18"},
    "pool": {"source": "./images"},
    "translation": {"source": "./images"},
    "text_to_image": {"model": "./model", "model_sha256": "0"},
    "image_to_image": {"model": "./model", "model_sha256": "0"},
    "clip": {"model": "embedded"},
}


@pytest.mark.parametrize("group", ["generators", "filters", "classifiers"])
def test_every_built_in_describes_itself(group: registry.Group) -> None:
    for kind, found in available(group).items():
        assert found.kind == kind
        assert found.summary
        assert found.distribution == "synthlift"  # its version is no part: stages have their own
        assert found.identity() == f"synthlift:{kind}:{found.version}"
        assert issubclass(found.config, ComponentConfig)
        assert found.config.model_config["extra"] == "forbid"
        assert not {"kind", "name"} & set(found.config.model_fields)  # the study's own keys
        default = found.config.model_validate(REQUIRED.get(kind, {}))
        assert found.config.model_validate(default.model_dump(mode="json")) == default


def test_an_unknown_kind_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(InputError) as caught:
        descriptor("generators", "flwo")
    assert caught.value.given == "generator kind 'flwo' – did you mean 'flow'?"
    assert "flow" in caught.value.rule


def test_a_plug_in_file_registers_and_builds(tmp_path: Path) -> None:
    load_plugin(plugin(tmp_path))
    found = descriptor("filters", "mine")
    assert found.build(found.config.model_validate({"strength": 0.25})).strength == 0.25


def test_the_content_of_a_plug_in_is_part_of_its_identity(tmp_path: Path) -> None:
    load_plugin(plugin(tmp_path))
    first = descriptor("filters", "mine").identity()
    digest = hashlib.sha256(PLUGIN.encode()).hexdigest()
    assert first == f"file-{digest}:mine:1"
    load_plugin(plugin(tmp_path, PLUGIN + "# changed\n"))
    assert descriptor("filters", "mine").identity() != first


def test_the_place_of_a_plug_in_is_no_part_of_its_identity(tmp_path: Path) -> None:
    identities = set()
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        load_plugin(plugin(tmp_path / name))
        identities.add(descriptor("filters", "mine").identity())
    assert len(identities) == 1


def test_an_unchanged_plug_in_is_not_run_again(tmp_path: Path) -> None:
    counted = PLUGIN + f"open({str(tmp_path / 'runs')!r}, 'a').write('x')\n"
    for _ in range(3):
        load_plugin(plugin(tmp_path, counted))
    assert (tmp_path / "runs").read_text() == "x"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1\n", "offers nothing"),
        ("SYNTHLIFT = {}\n", "offers nothing"),
        ("SYNTHLIFT = {'generator': []}\n", "offers 'generator' – did you mean 'generators'?"),
        ("SYNTHLIFT = {'filters': [print]}\n", "that is no Descriptor"),
        ("def broken(:\n", "cannot be imported: SyntaxError"),
        ("import a_module_that_is_absent\n", "cannot be imported: ModuleNotFoundError"),
        ("1 / 0\n", "cannot be imported: ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_plug_in_says_what_is_wrong(tmp_path: Path, text: str, words: str) -> None:
    path = plugin(tmp_path, text)
    for _ in range(2):  # a failed import leaves nothing behind that hides it the second time
        with pytest.raises(InputError) as caught:
            load_plugin(path)
        assert words in caught.value.given
        assert "docs/examples/my_generator.py" in caught.value.remedy


def test_a_missing_plug_in_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.py' does not exist"):
        load_plugin(tmp_path / "absent.py")


def test_a_config_refuses_unknown_keys_and_changes() -> None:
    class Config(ComponentConfig):
        strength: float = 0.5

    with pytest.raises(ValueError, match="strenth"):
        Config.model_validate({"strenth": 1})
    with pytest.raises(ValueError, match="frozen"):
        Config().strength = 1
    assert Descriptor(kind="a", config=Config, version="2", target="m:C").identity() == ":a:2"
