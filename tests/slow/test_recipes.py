"""Every recipe, shortened, on the real images that it is for: the whole path on real data."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scripts import draw_tiles, paper_digits
from synthlift.spec.loading import load_study
from synthlift.spec.study import Study
from tests.e2e.tiny import Ran, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
SHORT: dict[str, Any] = {
    "image_size": 16,
    "steps": 30,
    "replicates": 2,
}


def shortened(name: str, source: Path, **split: Any) -> Study:
    """The recipe at 16 pixels with a few steps: what it does, not how well."""
    content = load_study(ROOT / "recipes" / f"{name}.yaml").model_dump(mode="json")
    content["data"] |= {"source": str(source), "image_size": SHORT["image_size"]}
    content["data"]["split"] |= {"draws": 2, "repeats": 1, **split}
    content["training"] |= {"steps": SHORT["steps"], "batch_size": 32}
    content |= {"replicates": SHORT["replicates"], "generator_fits": 2, "selection": "predeclared"}
    for generator in content["generators"]:
        if generator["kind"] == "flow":
            generator |= {"steps": 10, "sampler_steps": 2, "network": "mlp", "readings": 1}
        if generator["kind"] in ("translation", "vae", "gan"):
            generator |= {"steps": 10, "readings": 1}
    return Study.model_validate(content)


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Unpack an archive once."""
    place, done = tmp_path_factory.mktemp("real"), set[Path]()

    def unpack(archive: Path) -> Path:
        if archive not in done:
            shutil.unpack_archive(archive, place)
            done.add(archive)
        return place

    return unpack


def first_of_each(source: Path, place: Path, *, count: int) -> Path:
    """Links to the first images of each class, in each of the given parts."""
    for folder in sorted({path.parent for path in source.rglob("*.jpg")}):
        (place / folder.relative_to(source)).mkdir(parents=True)
        for path in sorted(folder.glob("*.jpg"))[:count]:
            (place / path.relative_to(source)).symlink_to(path)
    return place


def parts(ran: Ran) -> pd.DataFrame:
    return pd.read_csv(ran.folder / "splits.csv", dtype=str, keep_default_na=False)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_a_valid_study(path: Path) -> None:
    study = load_study(path)
    assert study.name == path.stem
    assert f"`{path.name}`" in (ROOT / "recipes" / "README.md").read_text()


def test_lesions(
    real_data: Callable[[str], Path], unpacked: Callable[[Path], Path], tmp_path: Path
) -> None:
    place = unpacked(real_data("ham10000.tar.gz"))
    ran = run(
        shortened("lesions", place / "ham10000" / "metadata.csv"), home=tmp_path, out="lesions"
    )
    split = parts(ran)
    told = pd.read_csv(place / "ham10000" / "metadata.csv").set_index("file_name")
    split["lesion"] = told.loc[split["id"], "lesion_id"].to_numpy()
    for _, draw in split.groupby("draw"):
        assert draw.groupby("lesion")["part"].nunique().max() == 1
    cells = ran.results["counts"]["per_cell"]
    assert len({name.split(", ")[0] for name in cells}) == 7
    assert any(name.endswith("sex female") for name in cells)
    assert {s["attribute"] for s in ran.results["subgroups"]} == {"sex", "localization", "age"}


def test_styles(
    real_data: Callable[[str], Path], unpacked: Callable[[Path], Path], tmp_path: Path
) -> None:
    place = unpacked(real_data("pacs.tar.gz"))
    ran = run(shortened("styles", place / "pacs" / "metadata.csv"), home=tmp_path, out="styles")
    split = parts(ran)
    sketch = split["id"].str.contains("/sketch/")
    assert (split["part"] == "test").equals(sketch)


def test_every_style(
    real_data: Callable[[str], Path], unpacked: Callable[[Path], Path], tmp_path: Path
) -> None:
    place = unpacked(real_data("pacs.tar.gz"))
    ran = run(shortened("every-style", place / "pacs" / "metadata.csv"), home=tmp_path, out="every")
    split = parts(ran)
    split["domain"] = split["id"].str.split("/").str[1]
    tested = split[split["part"] == "test"].groupby("draw")["domain"].unique()
    assert sorted(len(found) for found in tested) == [1, 1, 1, 1]
    assert len({found[0] for found in tested}) == 4


def test_sketches(
    real_data: Callable[[str], Path], unpacked: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Forty sketches a class are trained on, and photos of the same class stand behind each
    translated one."""
    images = unpacked(real_data("pacs.tar.gz")) / "pacs" / "images"
    study = shortened("sketches", images / "sketch").model_dump(mode="json")
    study["generators"][0]["source"] = str(images / "photo")
    ran = run(Study.model_validate(study), home=tmp_path, out="sketches")
    split = parts(ran)
    train = split[(split["draw"] == "0") & (split["part"] == "train")]
    assert train["label"].value_counts().max() <= 41
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    assert set(told["label"]) == set(ran.results["study"]["classes"])
    assert (told["made_from"].str.partition("/")[0] == told["label"]).all()


def test_defects(
    real_data: Callable[[str], Path], unpacked: Callable[[Path], Path], tmp_path: Path
) -> None:
    place = unpacked(real_data("magnetic_tile.tar.gz")) / "magnetic_tile"
    study = shortened("defects", place / "images").model_dump(mode="json")
    study["data"]["masks"] = str(place / "masks")
    draw_tiles.write(tmp_path / "drawn", each=30, seed=0)
    study["generators"][-1]["source"] = str(tmp_path / "drawn" / "metadata.csv")
    ran = run(Study.model_validate(study), home=tmp_path, out="defects")
    assert ran.results["counts"]["used"] == 1344
    assert len(ran.results["classes"]) == 6
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    simulated = told[told["generator"] == "pool"]
    theirs = simulated["made_from"].str.extract(r"^images/(\w+)/")[0]
    pairs = set(zip(theirs, simulated["label"], strict=True))
    assert pairs >= {("chip", "break"), ("crack", "crack"), ("unground", "fray")}
    assert len(pairs) == len(draw_tiles.FLAWS)


def test_every_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six kinds make images of one data set, each from what it needs."""
    place = tmp_path / "digits"
    monkeypatch.setattr("sys.argv", ["paper_digits", str(place)])
    paper_digits.main()
    study = shortened("every-generator", place / "images").model_dump(mode="json")
    study["data"]["masks"] = str(place / "masks")
    for generator in study["generators"]:
        if "source" in generator:
            generator["source"] = str(place / Path(generator["source"]).name)
    ran = run(Study.model_validate(study), home=tmp_path, out="every")
    kinds = {"flow", "vae", "gan", "cut_paste", "translation", "pool"}
    assert {one["name"] for one in ran.results["generators"]} == kinds
    assert {one["generator"] for one in ran.results["arms"]} - {None, ""} == kinds
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    pasted = told[told["generator"] == "cut_paste"]["made_from"]
    assert pasted.str.match(r"[0-9]/\d+\.png on paper/\d+\.png").all()
    page = (ran.folder / "report.html").read_text()
    assert all(f"{kind}, lift" in page for kind in kinds)


def test_pneumonia(real_data: Callable[[str], Path], tmp_path: Path) -> None:
    ran = run(shortened("pneumonia", real_data("pneumoniamnist.npz")), home=tmp_path, out="xray")
    counts = ran.results["counts"]
    assert counts["read"] == 5030
    excluded = sum(counts["excluded"].values())
    assert 624 - excluded <= counts["test"] <= 624
    assert set(ran.results["study"]["class_names"].values()) == {"normal", "pneumonia"}


@pytest.mark.parametrize("name", ["long-tail", "few-labels"])
def test_cifar(
    name: str,
    real_data: Callable[[str], Path],
    unpacked: Callable[[Path], Path],
    tmp_path: Path,
) -> None:
    source = unpacked(real_data("cifar10.tar.gz")) / "cifar10"
    if name == "long-tail":
        # Filling a tail of thousands takes hours.
        source = first_of_each(source, tmp_path / "fewer", count=700)
    ran = run(shortened(name, source), home=tmp_path, out=name)
    split = parts(ran)
    first = split[split["draw"] == "0"]
    train = first[first["part"] == "train"]["label"].value_counts()
    if name == "long-tail":
        assert train.max() / train.min() == pytest.approx(100, rel=0.15)
        assert list(train.sort_index().index) == list(train.sort_index(ascending=True).index)
    else:
        # Near-duplicates stay together, so that a class may have one more.
        assert set(train) <= {25, 26}
        assert (train == 25).sum() > 5
        assert ran.results["counts"]["unlabelled"] > 40_000
        # Copies of tested pictures are left out of training and counted.
        dropped = {k: n for k, n in ran.results["counts"]["excluded"].items() if "near-dup" in k}
        assert 100 < sum(dropped.values()) < 1000


def test_a_pool_of_generated_pictures(
    real_data: Callable[[str], Path], unpacked: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Half of the text-to-image pictures pose as somebody's data, the others are imported."""
    place = unpacked(real_data("t2i_pool.tar.gz")) / "t2i_pool"
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for row, path in enumerate(sorted(place.glob("*/*.jpg"))):
        name = path.parent.name
        target = ours / name if row % 2 else theirs / f"AI {name}"
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    classes = {f"AI {path.name}": path.name for path in ours.iterdir()}
    study = shortened("defects", ours)
    pool = {"kind": "pool", "source": str(theirs), "classes": classes}
    content = study.model_dump(mode="json")
    content["data"] |= {"masks": None}
    content |= {
        "generators": [pool],
        "arms": ["real", "augmented", {"kind": "mixed", "multiples": [0.5]}],
    }
    ran = run(Study.model_validate(content), home=tmp_path, out="pool")
    told = pd.read_parquet(ran.folder / "verdicts.parquet")
    assert told["made_from"].str.startswith("AI ").all()
    assert len(told[told["fit"] == 0]) == told[told["fit"] == 0]["made_from"].nunique()
    assert json.loads((ran.folder / "results.json").read_text())["verdict"] is not None
