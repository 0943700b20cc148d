"""Real or synthetic? Drawing the pictures of a blind test, and recording what a person said.

Real pictures come from the training and validation images of the first training set, never from its
test set. Both kinds are shown at the size at which models see them, so that neither size nor
compression gives them away; of each picture the class is drawn first and a fair coin says whether
it is real, so that neither class nor counting helps. A person who guesses is right in half of the
pictures, independently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from synthlift.api.generated_images import GeneratedImages, Wanted
from synthlift.api.training_sets import ArmImage, splits
from synthlift.errors import InputError
from synthlift.evaluation.wilson import wilson
from synthlift.seeds import generator_for
from synthlift.spec import people
from synthlift.spec.people import BlindAnswer, BlindTest
from synthlift.spec.provenance import png_bytes

if TYPE_CHECKING:
    import numpy as np

    from synthlift.api.run_folder import Run

FEWEST, MOST = 10, 200
Kind = Literal["real", "synthetic"]


@dataclass(frozen=True)
class Shown:
    """One picture of a blind test.

    Attributes:
        image: its id in the run.
        label: its class.
        was: what it is.
        png: the file to show; it says nothing of where it comes from.
    """

    image: str
    label: str
    was: Kind
    png: bytes


def draw_blind_test(run: Run, *, generator: str, pictures: int, seed: int) -> list[Shown]:
    """Pictures in the order in which they are shown; each image at most once.

    Args:
        run: a finished run.
        generator: whose images are to be told from real ones, as its filters left them.
        pictures: how many.
        seed: of the draw; one that nobody knows makes the test blind.

    Raises:
        InputError: too few images of both kinds in any class, or their pixels are gone.
    """
    if not FEWEST <= pictures <= MOST:
        raise InputError(
            f"a blind test of {pictures} pictures",
            rule=f"it has {FEWEST} to {MOST}: fewer tell nothing, more tire the eye",
            remedy="choose a number between them",
        )
    images = GeneratedImages(run)
    stock = _stock(run, images, generator=generator)
    rng = generator_for(seed, "blind-test")
    chosen = [_pick(stock, rng) for _ in range(pictures)]
    return [
        Shown(image.id, image.label, image.origin, png_bytes(images.pixels(image)))
        for image in chosen
    ]


def _stock(
    run: Run, images: GeneratedImages, *, generator: str
) -> dict[str, dict[Kind, list[ArmImage]]]:
    """Images of both kinds by class; only classes that have some of each."""
    rows = splits(run)
    rows = rows[rows["draw"] == rows["draw"].min()]
    rows = rows[rows["part"].isin(("train", "validation"))]
    found: dict[str, dict[Kind, list[ArmImage]]] = {}
    for one in rows.to_dict("records"):
        image = ArmImage(
            "real", id=one["id"], label=one["label"], group=one["group"], sha256=one["sha256"]
        )
        found.setdefault(image.label, {"real": [], "synthetic": []})["real"].append(image)
    for row in images.find(Wanted(kept=True)):
        image = images.get(row).image
        if image.generator == generator and image.fit == 0 and image.label in found:
            found[image.label]["synthetic"].append(image)
    usable = {label: kinds for label, kinds in found.items() if all(kinds.values())}
    if not usable:
        raise InputError(
            f"no class has both real images and kept images of generator '{generator}'",
            rule="a blind test shows both kinds of a class",
            remedy="choose another generator or another run",
        )
    return usable


def _pick(stock: dict[str, dict[Kind, list[ArmImage]]], rng: np.random.Generator) -> ArmImage:
    """Draw a class, toss a coin, and take an image that was not shown yet."""
    open_classes = sorted(label for label, kinds in stock.items() if all(kinds.values()))
    if not open_classes:
        raise InputError(
            "there are too few images for so many pictures",
            rule="each image is shown once, and every class needs some of both kinds until the end",
            remedy="ask for fewer pictures",
        )
    kinds = stock[open_classes[int(rng.integers(len(open_classes)))]]
    of_kind = kinds["real" if rng.integers(2) else "synthetic"]
    return of_kind.pop(int(rng.integers(len(of_kind))))


def record_blind_test(
    run: Run,
    *,
    name: str,
    who: str,
    generator: str,
    shown: Sequence[tuple[str, str, Kind]],
    said: Sequence[Kind],
) -> BlindTest:
    """Score a finished test and write it into the run folder; the report shows it from then on.

    Args:
        run: of the pictures.
        name: of the test; one that is on record already is returned as it was.
        who: the person, as they call themselves.
        generator: whose images were shown.
        shown: image, class and kind of every picture.
        said: what each was taken for, in the same order.

    Raises:
        InputError: an answer is missing.
    """
    known: Mapping[str, BlindTest] = {one.id: one for one in people.blind_tests(run.path)}
    if name in known:
        return known[name]
    if len(said) != len(shown):
        raise InputError(
            f"{len(said)} answers to {len(shown)} pictures",
            rule="a test counts when every picture was answered: who stops early may stop at a "
            "lucky moment",
            remedy="answer the others",
        )
    answers = [
        BlindAnswer(image=image, label=label, was=was, said=answer)
        for (image, label, was), answer in zip(shown, said, strict=True)
    ]
    right = sum(one.was == one.said for one in answers)
    low, high = wilson(right, len(answers))
    test = BlindTest(
        id=name,
        who=who,
        at=people.now(),
        generator=generator,
        answers=answers,
        right=right,
        low=low,
        high=high,
        p_value=_coin(right, len(answers)),
    )
    people.append(run.path, people.BLIND_TESTS, test)
    return test


def _coin(right: int, pictures: int) -> float:
    """Exact two-sided p-value of so many right answers when each is right with 1/2."""
    from scipy import stats

    return float(stats.binomtest(right, pictures, 0.5).pvalue)
