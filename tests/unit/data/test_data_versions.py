"""Pictures that occur in several versions, as after offline augmentation, stay together."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from synthlift import api
from synthlift.data.alike import Alike, alike
from synthlift.data.contract import Where
from synthlift.data.designs import choose_design
from synthlift.data.faults.families import ALONE, families
from synthlift.data.faults.near_duplicates import (
    NearDuplicates,
    Pair,
    components,
    near_duplicates,
    tightened,
)
from synthlift.data.faults.perceptual import thumbnails
from synthlift.data.integrity import pixel_hash
from synthlift.data.inventory import Asked, Row
from synthlift.data.overlap import overlap_request
from synthlift.data.sources import open_source
from synthlift.data.stages import inventory_request, pixels_request, read_request, split_request
from synthlift.spec.data import Split
from synthlift.store import Artefact, StageRequest, Store
from synthlift.store.images import SPLIT, read_table, usable_rows
from synthlift.types import UInt8

SIDE = 44
Edit = Callable[[UInt8, np.random.Generator], UInt8]


def pictures() -> list[UInt8]:
    """91 pieces of two photographs that show something."""
    found = [
        image[top : top + SIDE, left : left + SIDE]
        for image in load_sample_images().images
        for top in range(0, image.shape[0] - SIDE + 1, SIDE)
        for left in range(0, image.shape[1] - SIDE + 1, SIDE)
    ]
    return [x for x in found if np.abs(np.diff(x.astype(float).mean(2), axis=1)).mean() > 7]


def saved_anew(image: UInt8, rng: np.random.Generator) -> UInt8:
    """As JPEG, a little brighter or darker, mirrored or not."""
    changed = np.clip(image * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(changed[:, :: rng.choice([1, -1])]).save(stream, "JPEG", quality=80)
    return np.asarray(Image.open(stream))


def cropped(image: UInt8, rng: np.random.Generator) -> UInt8:
    """Without 1 to 4 of 44 pixels a side, a little brighter or darker, mirrored or not."""
    less = int(rng.integers(1, 5))
    top, left = rng.integers(0, less + 1, 2)
    cut = image[top : top + SIDE - less, left : left + SIDE - less][:, :: rng.choice([1, -1])]
    changed: UInt8 = np.clip(cut * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)
    return changed


def torn(edit: Edit, *, share: float, versions: int) -> tuple[int, int, Alike]:
    """Of pictures of which a share occurs in several versions: how many lie in several groups."""
    rng, images, own = np.random.default_rng(0), [], []
    found = pictures()
    several = round(share * len(found))
    for number, picture in enumerate(found):
        for version in range(versions if number < several else 1):
            images.append(edit(picture, rng) if version else picture)
            own.append(number)
    hashes = [pixel_hash(image) for image in images]
    firsts = np.sort(np.unique(hashes, return_index=True)[1])  # Exact copies are left out before.
    rows = [
        Row(f"{k:04}", "ab"[own[k] % 2], f"{k:04}", f"{k:04}", sha256=hashes[k]) for k in firsts
    ]
    seen = alike(rows, [thumbnails(images[k][None])[0][..., None] for k in firsts])
    pictured = np.array(own)[firsts]
    assert all(pictured[pair.first] == pictured[pair.second] for pair in seen.pairs)
    label = components(seen.pairs, count=len(rows))
    return sum(len(set(label[pictured == k])) > 1 for k in range(several)), several, seen


@pytest.mark.parametrize(("share", "versions"), [(0.2, 3), (0.6, 3), (1.0, 3), (1.0, 10)])
def test_versions_are_joined_however_many_there_are(share: float, versions: int) -> None:
    apart, several, seen = torn(saved_anew, share=share, versions=versions)
    assert (apart, seen.apart) == (0, ())
    apart, _, _ = torn(cropped, share=share, versions=versions)
    assert apart <= 0.2 * several


def test_unrelated_digits_are_no_family() -> None:
    digits = (load_digits().images[:400] * 15.9).astype(np.uint8)[..., None]
    found = near_duplicates(digits)
    assert found.threshold < 0.05
    rng = np.random.default_rng(0)
    versions = [np.clip(d * rng.uniform(0.8, 1.2), 0, 255).astype(np.uint8) for d in digits[:200]]
    again = near_duplicates(np.concatenate([digits, np.stack(versions)]))
    joined = [pair for pair in again.pairs if pair.second == pair.first + 400]
    assert len(joined) >= 195, "a strict threshold and families still find the versions"
    assert len(again.pairs) - len(joined) <= 4


def test_a_family_ends_where_the_next_stranger_is_clearly_further_away() -> None:
    first, second = np.array([0, 1, 0, 2, 3, 4, 5]), np.array([1, 2, 2, 3, 4, 5, 6])
    distance = np.array([0.03, 0.05, 0.04, 0.5, 0.2, 0.25, 0.55], dtype=np.float32)

    def label(largest: int) -> list[int]:
        found: list[int] = families(
            first, second, 1 - distance, count=8, least=0.72, largest=largest
        ).tolist()
        return found

    own = label(5)
    assert own[0] == own[1] == own[2] != ALONE
    assert own[3] == own[4] == own[5] not in (ALONE, own[0])
    assert own[6:] == [ALONE, ALONE]
    assert label(2) == [ALONE] * 8, "0 and 2 are nearer to 1 than any stranger, but three"


def test_one_film_does_not_keep_other_pictures_apart() -> None:
    film = [Pair(k, k + 1, 0.01, "near") for k in range(30)]
    good = [Pair(100 + 2 * k, 101 + 2 * k, 0.05, "near") for k in range(200)]
    found = NearDuplicates(tuple(sorted(film + good)), 0.15)
    assert tightened(found, count=1000).pairs == tuple(good)
    family = (0,) * 31 + (ALONE,) * 969
    kept = tightened(NearDuplicates(found.pairs, 0.15, family), count=1000)
    assert kept.pairs == found.pairs, "frames unlike all else may be many"


def test_what_is_left_apart_is_said_with_numbers(tmp_path: Path) -> None:
    for number, digit in enumerate(load_digits().images[:160]):
        place = tmp_path / "digits" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray((digit * 15.9).astype(np.uint8))
        image.resize((28, 28), Image.Resampling.BICUBIC).save(place / f"{number:03}.png")
    found = api.inspect(tmp_path / "digits")
    (said,) = found["findings"]["duplicates"]["apart"]
    assert re.match(r"\d+ pairs that look alike \(distance 0\.0\d+ to 0\.1[45]\d\)", said)
    assert "were not joined, since unrelated images of this data set resemble each other" in said
    assert said in found["findings"]["warnings"]
    assert said in found["notes"]


def test_a_class_with_few_groups_takes_no_other_class_apart() -> None:
    found = pictures()[:60]
    images = [*found, cropped(found[10], np.random.default_rng(0))]
    images[1] = np.maximum(found[0], 1)  # Two of the rare class's three pictures are one.
    labels = ["rare"] * 3 + ["many"] * 58
    rows = [
        Row(f"{k:02}", label, f"{k:02}", f"{k:02}", sha256=pixel_hash(images[k]))
        for k, label in enumerate(labels)
    ]
    seen = alike(rows, [thumbnails(image[None])[0][..., None] for image in images])
    assert [pair[:2] for pair in seen.pairs] == [(10, 60)]
    (said,) = seen.apart
    assert "1 pair of near-duplicates in 'rare' was not joined" in said


# ── images beside the data set ────────────────────────────────────────────────────────────────


def compute(store: Store, request: StageRequest) -> Artefact:
    store.compute(request)
    return store.open(request.key)


def listed(store: Store, folder: Path) -> tuple[str, str]:
    """Keys of the images of a folder and of their pixels."""
    source = open_source(Where(str(folder), "/"))
    read = compute(store, read_request(source, Asked(10_000)))
    inventory = compute(store, inventory_request(read)).key
    request = pixels_request(
        inventory, read=read, source=source, size=SIDE, fit="stretch", channels=3
    )
    return inventory, compute(store, request).key


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, StageRequest]:
    """39 pictures; beside them 8 versions of each, saved anew, and 20 other pictures."""
    root, rng = tmp_path_factory.mktemp("beside"), np.random.default_rng(0)
    for name in ("ours", "theirs"):
        for label in "ab":
            (root / name / label).mkdir(parents=True)
    for number, picture in enumerate(pictures()[:59]):
        name = f"{'ab'[number % 2]}/{number:02}"
        if number >= 39:
            Image.fromarray(picture).save(root / "theirs" / f"{name}.png")
            continue
        Image.fromarray(picture).save(root / "ours" / f"{name}.png")
        for version in range(8):
            again = Image.fromarray(saved_anew(picture, rng))
            again.save(root / "theirs" / f"{name}-{version}.png")
    store = Store(root / "store")
    ours, theirs = (listed(store, root / name) for name in ("ours", "theirs"))
    request = overlap_request(
        inventory=ours[0], pixels=ours[1], other=theirs[0], other_pixels=theirs[1]
    )
    store.compute(request)
    return store, request


def test_every_version_in_a_pool_is_found(beside: tuple[Store, StageRequest]) -> None:
    store, request = beside
    summary = store.open(request.key).summary
    assert all(there.startswith(here[:4]) for there, here in summary["pairs"])
    versions = [n for n in usable_rows(store, request.one("other"))["id"].tolist() if "-" in n]
    assert len(versions) > 300
    assert {there for there, _ in summary["pairs"]} == set(versions)
    assert summary["apart"] == 0


def test_external_images_of_what_is_learnt_are_left_out(
    beside: tuple[Store, StageRequest],
) -> None:
    store, overlap = beside
    ours = usable_rows(store, overlap.one("inventory"))
    design = choose_design(
        Split(design="fixed"), labels=ours["label"].tolist(), groups=ours["group"].tolist()
    )
    split = compute(store, split_request(overlap.one("inventory"), design=design, seed=0))
    tested = set(read_table(split.path(SPLIT)).to_pandas().query("part == 'test'")["id"])
    inputs = {"inventory": overlap.one("other"), "overlap": overlap.key, "split_of_data": split.key}
    request = StageRequest("split", "synthlift.study.external:all_test", inputs=inputs)
    outside = compute(store, request)
    left = set(read_table(outside.path(SPLIT)).to_pandas()["id"])
    assert left == {
        name
        for name in usable_rows(store, overlap.one("other"))["id"].tolist()
        if "-" not in name or f"{name[:4]}.png" in tested
    }
    assert tested
    assert outside.summary["images"] == len(left)
    assert outside.summary["shown"] == len(usable_rows(store, overlap.one("other"))["id"]) - len(
        left
    )
