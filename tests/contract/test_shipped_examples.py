"""The finished runs that come with the package are what this version reads and makes.

When one of these fails, the archives are made anew: ``python -m scripts.example_runs``.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthlift.api.generated_images import GeneratedImages
from synthlift.api.run_folder import load, read_results
from synthlift.spec.loading import load_study
from synthlift.spec.results import SCHEMA_VERSION
from synthlift.store import Store
from synthlift.store.files import hash_files
from synthlift.web.examples import EXAMPLES
from synthlift.web.shipped import RUN, STORE, archive_of, made, openings_of, provide

ANEW = "python -m scripts.example_runs"
PLACES = re.compile(rb"/(?:root|home|tmp|work|Users|private|mnt|var)/[\w.@-]|[A-Z]:\\\\?Users")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("shipped") / "examples"
    for name in EXAMPLES:
        assert provide(archive_of(name), home / name), ANEW
    return home


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_archive_is_the_run_of_its_study_file(unpacked: Path, name: str) -> None:
    facts, one = made(unpacked / name), EXAMPLES[name]
    assert facts is not None
    assert facts.study == hashlib.sha256(one.file.read_bytes()).hexdigest(), ANEW
    results = read_results(unpacked / name / RUN)
    assert results.schema_version == SCHEMA_VERSION, ANEW
    assert (results.created, results.study.source) == (facts.created, one.source)
    assert results.study.complete
    assert not any("opened before" in why for why in results.verdict.exploratory_reasons)  # type: ignore[union-attr]
    run = load(unpacked / name / RUN)
    asked = load_study(one.file)
    assert run.study.arms == asked.arms
    assert run.study.data.split == asked.data.split


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_ledger_beside_an_archive_is_that_of_its_run(unpacked: Path, name: str) -> None:
    results = read_results(unpacked / name / RUN)
    lines = [json.loads(line) for line in openings_of(name).read_text().splitlines()]
    log = [json.loads(line) for line in (unpacked / name / RUN / "log.jsonl").open()]
    (opened,) = (one for one in log if one["event"] == "test_opened")
    trained = [one for one in log if one["event"] == "stage_done" and one["stage"] == "model"]
    assert {one["model"] for one in lines} <= {one["key"] for one in trained}
    assert {(one["test"], one["study"]) for one in lines} == {
        (opened["test_hash"], results.study.key)
    }
    assert results.openings is not None
    assert len(lines) == opened["models"] == results.openings.models, ANEW


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_pages_read_of_the_store_is_whole(unpacked: Path, name: str) -> None:
    store = Store(unpacked / name / STORE)
    artefacts = sorted((store.root / "artefacts").iterdir())
    for folder in artefacts:
        recorded = store.open(folder.name).record["files"]
        found = hash_files(folder)
        assert set(found) == {*recorded, "record.json"}, folder.name
        for file, digest in recorded.items():  # of decoded images, their own hashes are recorded
            assert digest == found[file] or digest.startswith("images-"), (folder.name, file)
    generated = GeneratedImages(load(unpacked / name / RUN))
    assert len(generated) > 100
    for row in (0, len(generated) - 1):
        one = generated.get(row)
        assert generated.png(one).startswith(b"\x89PNG")
    kept = {folder.name for folder in artefacts}
    assert store.collect() == (0, 0), "gc keeps what the run needs"
    assert {folder.name for folder in (store.root / "artefacts").iterdir()} == kept


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_archive_names_a_place_of_the_machine_that_made_it(name: str) -> None:
    with tarfile.open(archive_of(name)) as archive:
        for member in archive:
            assert (member.uname, member.gname, member.mtime) == ("", "", 0)
            file = archive.extractfile(member)
            assert file is not None
            for part in _texts_of(member.name, file.read()):
                assert not (found := PLACES.search(part)), (member.name, found)


def _texts_of(name: str, content: bytes) -> list[bytes]:
    """Whatever could hold a place: texts, cells of tables, members of archives, headers."""
    if name.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(content))
        words = [str(table.schema.metadata).encode()]
        named = [c for c in table.itercolumns() if pa.types.is_string(c.type)]
        return words + [json.dumps(column.unique().to_pylist()).encode() for column in named]
    if name.endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(content)) as arrays:
            return [part.encode() for part in arrays.namelist()]
    if name.endswith((".npy", ".safetensors", ".png")):
        return [content[:2000]]
    return [content]


def test_they_are_small() -> None:
    """A wheel is loaded by everybody."""
    assert sum(archive_of(name).stat().st_size for name in EXAMPLES) < 14e6
