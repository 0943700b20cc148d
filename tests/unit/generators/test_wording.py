"""Putting classes into words, evenly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlift.errors import InputError
from synthlift.generators.homonyms import HOMONYMS, ambiguous
from synthlift.generators.pipelines.prompt_table import read_prompts
from synthlift.generators.wording import Wording
from synthlift.types import ImageSet
from tests.unit.generators.test_text_to_image import fitted_on

TEMPLATES = ("a photo of {label}", "{label} on {ground}, {light}", "a drawing")
PHRASES = {"ground": ("sand", "snow", "grass", "rock"), "light": ("at noon", "at dusk")}
WORDING = Wording(TEMPLATES, synonyms={"crane": ("grey crane", "bird")}, phrases=PHRASES, seed=7)


@given(lap=st.integers(0, 1000), seed=st.integers(0, 2**32))
def test_every_option_is_used_equally_often(lap: int, seed: int) -> None:
    wording = Wording(("{label} {ground}",), phrases=PHRASES, seed=seed)
    run = [wording.phrasing("crane", 4 * lap + i).phrases["ground"] for i in range(4)]
    assert sorted(run) == sorted(PHRASES["ground"])


def test_options_of_different_factors_meet_at_random() -> None:
    wording = Wording(TEMPLATES[:2], phrases=PHRASES)
    met = {wording.phrasing("crane", i).says({}) for i in range(200)}
    assert met == {
        "a photo of crane",
        *(f"crane on {g}, {t}" for g in PHRASES["ground"] for t in PHRASES["light"]),
    }


def test_a_bank_may_be_called_as_a_factor_is() -> None:
    banks = {"template": ("at noon", "at dusk")}
    wording = Wording(("{label} {template}", "one {label} {template}"), phrases=banks)
    met = {wording.phrasing("crane", i).says({}) for i in range(64)}
    assert met == {f"{a} {b}" for a in ("crane", "one crane") for b in banks["template"]}


def test_all_combinations_are_used_equally_often() -> None:
    wording = Wording(**{**WORDING.__dict__, "every": True})
    count = wording.combinations("crane")
    assert count == 3 + 3 * 4 * 2 + 1
    said = Counter(wording.phrasing("crane", i).says({}) for i in range(2 * count))
    assert set(said.values()) == {2}
    assert set(said) == {one.says({}) for one in wording.phrasings("crane")}


def test_classes_and_seeds_differ_in_order_only() -> None:
    def order(label: str, seed: int) -> list[str]:
        wording = Wording(("{ground}",), phrases=PHRASES, seed=seed)
        return [wording.phrasing(label, i).says({}) for i in range(12)]

    assert order("crane", 1) == order("crane", 1)
    assert len({tuple(order(label, seed)) for label in "abc" for seed in range(3)}) == 9


def test_the_first_word_for_a_class_is_its_name() -> None:
    wording = Wording(("{label}",), names={"mel": "melanoma"}, synonyms={"mel": ("skin cancer",)})
    assert wording.words("mel") == ("melanoma", "skin cancer")
    assert wording.words("nevus_blue") == ("nevus blue",)


@pytest.mark.parametrize(
    ("wording", "says"),
    [
        (Wording(("{label}",), own={"cow": ("cow",)}), "prompts .* 'cow'"),
        (Wording(("{label}",), synonyms={"carne": ("x",)}), "'carne'.*crane"),
        (Wording(("{label}",), avoided={"carne": "fog"}), "negative prompts.*'carne'.*crane"),
        (Wording(("{label} {sex}",), phrases={"sex": ("x",)}), "'sex' are named like"),
        (Wording(("{label} {gorund}",), phrases=PHRASES), "gorund.*ground"),
        (
            Wording(
                ("{a}{b}{c}",), phrases={n: tuple(map(str, range(60))) for n in "abc"}, every=True
            ),
            "216,000 combinations",
        ),
    ],
)
def test_words_that_cannot_be_used_are_refused(wording: Wording, says: str) -> None:
    with pytest.raises(InputError, match=says):
        wording.check(["crane", "gull"], ["sex"])


def test_a_table_of_prompts_is_read(tmp_path: Path) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text(
        "label,prompt,negative_prompt\n"
        "crane,a crane standing,machine\n"
        'crane,"a crane, flying",\n'
        "\n"
        "gull, a gull, \n"
        'tern, a "tern", bird of prey\n'
        'auk,"an auk, diving"\n'
    )
    assert read_prompts(table) == {
        "class_prompts": {
            "crane": ("a crane standing", "a crane, flying"),
            "gull": ("a gull",),
            "tern": ('a "tern"',),
            "auk": ("an auk, diving",),
        },
        "class_negative_prompts": {"crane": "machine", "tern": "bird of prey"},
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("class,prompt\nx,y\n", "columns class, prompt"),
        ("label,prompt\ncrane,\n", "line 2"),
        ("label,prompt,negative_prompt\nx,y,a\nx,z,b\n", "line 3.*'b' of 'x', which has 'a'"),
        ('label,prompt\nx,"two\nlines"\nzero,a thick, red zero\n', "line 4.*quotes"),
        ("label,prompt,negative_prompt\nzero,a thick, red zero\n", "line 2.*' red zero'"),
        ("label,prompt,negative_prompt\nzero,a thick, red zero,grey\n", "line 2.*3 cells"),
        ('label,prompt,negative_prompt\nzero, "a thick, red zero"\n', "line 2.*space before"),
        ('label,prompt\nzero,\t"a thick zero"\n', "line 2.*space before"),
        ("label,negative_prompt,prompt\nzero,a thick zero\n", "line 2.*3 cells"),
        ("negative_prompt,label,prompt\nzero\n", "line 2.*3 cells"),
        ("label,prompt,prompt\nx,y,z\n", "columns label, prompt, prompt"),
        ("label,prompt\n\n", "has no line below"),
        ("", "columns none"),
        ('label,prompt\nx,y\nz,"open\na,b\n', "from line 3 on"),
    ],
)
def test_a_faulty_table_is_refused(tmp_path: Path, text: str, says: str) -> None:
    table = tmp_path / "prompts.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=rf"(?s){says}"):
        read_prompts(table)
    with pytest.raises(InputError, match="No such file"):
        read_prompts(tmp_path / "none.csv")


def test_a_word_of_two_meanings_is_known_where_it_stands_alone() -> None:
    assert ambiguous("Crane") == ambiguous("a crane") == ("crane", ("a bird", "a machine"))
    for explained in ("crane, a bird", "computer mouse", "cat", "grass", "ape", "series", ""):
        assert ambiguous(explained) is None
    # What remains of these without "es" is another word.
    for another in ("tapes", "stares", "a tape"):
        assert ambiguous(another) is None
    plurals = {
        "cranes": "crane",
        "mice": "mouse",
        "jaguars": "jaguar",
        "flies": "fly",
        "matches": "match",
        "irises": "iris",
        "calves": "calf",
        "bass": "bass",
        "planes": "plane",
        "glasses": "glasses",
        "canaries": "canary",
        "switches": "switch",
        "squashes": "squash",
    }
    for words, singular in plurals.items():
        assert ambiguous(words) == (singular, HOMONYMS[singular])


def test_names_of_two_meanings_are_pointed_out_together(
    tiny_pipeline: Path, tmp_path: Path
) -> None:
    labels = ("bats", "mice", "heron", "bow", "bank", "kite", "mole", "nail", "file", "jam", "log")
    pixels = np.zeros((len(labels), 16, 16, 3), np.uint8)
    train = ImageSet.from_arrays(pixels, np.arange(len(labels)), labels)
    (words,) = fitted_on(train, tiny_pipeline, tmp_path, prompt="{label}").facts()["warnings"]
    assert words.startswith("'bats' means an animal as well as")
    assert "'mice' means an animal as well as a computer's mouse; 'bow' means" in words
    assert "so it is with 'jam', 'log': the pipeline may draw either" in words
    assert words.endswith("such as bats: 'bat, an animal'")
    # The packaged one knows one meaning of each of its words.
    assert "warnings" not in fitted_on(train, Path("embedded"), tmp_path, prompt="{label}").facts()
