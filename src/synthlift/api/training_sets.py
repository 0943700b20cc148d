"""Which images a model of an arm was trained on: the plan that stands in the run folder.

``splits.csv`` and ``verdicts.parquet`` outlive the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from synthlift.errors import InputError
from synthlift.seeds import generator_for
from synthlift.spec.arms import Arm
from synthlift.spec.people import HandVerdict, in_force
from synthlift.spec.targets import SOURCES, Cell, grouped
from synthlift.store.keys import canonical
from synthlift.study.aiming import decision_name, former_name, read_weights
from synthlift.study.layout import wanted_images
from synthlift.study.modelling import from_hard_cases
from synthlift.study.sharing import set_seed

if TYPE_CHECKING:
    import pandas as pd

    from synthlift.api.run_folder import Run

SPLITS, VERDICTS = "splits.csv", "verdicts.parquet"


@dataclass(frozen=True)
class ArmImage:
    """One image of a training set.

    Attributes:
        origin: real or synthetic.
        id: of a real image as in ``splits.csv``; ``generator/fit/class/index`` of a synthetic one.
        label: class name.
        group, sha256: of a real image.
        generator, fit, index: of a synthetic one: which, which fit, place in its stream.
        attributes: (name, value) pairs that a synthetic one was asked for by.
        prompt: the words that a synthetic one was drawn from.
        made_from: what a synthetic one was made from, such as a file of an imported pool.
        chunk, row: where the store has its pixels.
    """

    origin: Literal["real", "synthetic"]
    id: str
    label: str
    group: str = ""
    sha256: str = ""
    generator: str = ""
    fit: int = -1
    index: int = -1
    attributes: tuple[tuple[str, str], ...] = ()
    made_from: str = ""
    prompt: str = ""
    chunk: str = field(default="", repr=False)
    row: int = field(default=-1, repr=False)


def splits(run: Run) -> pd.DataFrame:
    """``splits.csv``: draw, id, part, label, group, sha256; everything but the draw is text."""
    import pandas as pd

    path = run.path / SPLITS
    if not path.is_file():
        from synthlift.api.run_folder import not_finished

        raise not_finished(run.path, SPLITS)
    # Class names such as "NA" or "007" are text.
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return frame.astype({"draw": int})


def place(run: Run, replicate: int, *, generator: str | None) -> tuple[int, int]:
    """Draw of a replicate, and which fit of a generator it uses (METHOD §1, "Generator fit").

    Raises:
        InputError: the run has no such replicate.
    """
    facts = run.results.study
    if not 0 <= replicate < facts.replicates:
        raise InputError(
            f"replicate {replicate}",
            rule=f"the run has replicates 0 to {facts.replicates - 1}",
            remedy="give one of them with --replicate",
        )
    if facts.design == "cross_validated":
        return replicate, replicate
    if facts.design == "redrawn":
        draw = replicate % int(splits(run)["draw"].nunique())
        return draw, draw
    return 0, replicate % max(1, _fits(run, generator))


def _fits(run: Run, generator: str | None) -> int:
    fits = verdicts(run)
    return int(fits[fits["generator"] == generator]["fit"].nunique()) if len(fits) else 1


def verdicts(run: Run) -> pd.DataFrame:
    """``verdicts.parquet``: one row per generated image."""
    import pandas as pd

    return pd.read_parquet(run.path / VERDICTS)


def arm_images(
    run: Run, arm: Arm, *, part: str = "train", replicate: int = 0, by_hand: bool = False
) -> list[ArmImage]:
    """The images of one training set (each once), or of its validation set.

    Args:
        run: a finished run.
        arm: one of its arms.
        part: train or validation; test images stay locked.
        replicate: which repetition.
        by_hand: let verdicts by hand count, which no model of the run was trained with: images
            that people rejected are left out, those that they kept are put back, and the next
            ones of a class fill the gaps.
    """
    if part not in ("train", "validation"):
        raise InputError(
            f"part '{part}'",
            rule="a training set has the parts train and validation; the test set stays locked",
            remedy="choose train or validation; splits.csv names the test images",
        )
    if arm.posing is not None:
        raise InputError(
            f"arm '{arm.name}' is a control in which real images pose as synthetic ones",
            rule="only arms that are meant for use can be taken out of a run",
            remedy="name another arm",
        )
    if arm.without:
        raise InputError(
            f"arm '{arm.name}' is a control that keeps what one filter rejects",
            rule="only arms that are meant for use can be taken out of a run",
            remedy="name another arm",
        )
    if arm.retrieved:
        raise InputError(
            f"arm '{arm.name}' trains on real images that lie in your unlabelled pool",
            rule="what an arm trains on is taken from the data set and from generated images",
            remedy=f"see {run.path / 'retrieved.csv'} for the pool's images, or name another arm",
        )
    draw, fit = place(run, replicate, generator=arm.generator)
    rows = splits(run)
    rows = rows[rows["draw"] == draw]
    real = [
        ArmImage("real", id=r["id"], label=r["label"], group=r["group"], sha256=r["sha256"])
        for r in rows[rows["part"] == part].to_dict("records")
    ]
    if part == "validation":
        return real
    hands = in_force(run.path) if by_hand else {}
    synthetic = _synthetic(run, arm, fit, rows, hands, replicate) if arm.uses_synthetic else []
    return synthetic if arm.regime == "synthetic_only" else [*real, *synthetic]


def _census(train: pd.DataFrame, arm: Arm, classes: Sequence[str]) -> dict[Cell, int]:
    """Training images of every cell that an arm aims at, and of classes without any."""
    index = {name: k for k, name in enumerate(classes)}
    counts = {Cell(k): 0 for k in range(len(classes))}
    for row in train[["label", *arm.target.attributes]].to_dict("records"):
        attributes = {name: str(row[name]) for name in arm.target.attributes}
        cell = Cell.of(index[row["label"]], attributes)
        counts[cell] = counts.get(cell, 0) + 1
    return counts


def _wanted(
    run: Run, arm: Arm, census: Mapping[Cell, int], *, draw: int, table: pd.DataFrame
) -> dict[Cell, int]:
    """Images of every cell; targets by errors find what they go by among the run's decisions."""
    target = arm.target
    if target.by is None or arm.spread_evenly:
        return wanted_images(arm, census)
    facts = run.results.study
    known = {one.name: one.value for one in run.results.decisions}
    asked = (target.by, target.attributes, facts.design, draw)
    value = known.get(decision_name(*asked)) or known[former_name(*asked)]
    present = [k for k, n in grouped(census, target.attributes).items() if n]
    wanted = wanted_images(arm, census, weights=read_weights(value, present, facts.classes))
    made_from = table["attributes"].str.contains(f'"{SOURCES}"').any()
    if target.by != "hard_cases" or not made_from:
        return wanted
    return {from_hard_cases(cell): count for cell, count in wanted.items()}


def _synthetic(
    run: Run,
    arm: Arm,
    fit: int,
    rows: pd.DataFrame,
    hands: Mapping[str, HandVerdict],
    replicate: int,
) -> list[ArmImage]:
    import pandas as pd

    classes = run.results.study.classes
    census = _census(rows[rows["part"] == "train"], arm, classes)
    table = verdicts(run)
    table = table[(table["generator"] == arm.generator) & (table["fit"] == fit)]
    wanted = _wanted(run, arm, census, draw=int(rows["draw"].iloc[0]), table=table)
    seed = set_seed(run.study.seed, arm.generator or "", replicate)
    drawn = any(one.name == arm.generator and one.one_pool for one in run.results.generators)
    images: list[ArmImage] = []
    for cell, count in wanted.items():
        label, asked = classes[cell.label], dict(cell.attributes)
        stream = table[(table["label"] == label) & (table["attributes"] == canonical(asked))]
        stream = stream.sort_values("index")
        usable = stream["kept"] if arm.curated else stream["kept"] | True
        if drawn:
            # What people put back comes first, since it has no place in the order of the draw.
            kept = stream[usable]
            order = generator_for(seed, *cell.seed_parts).permutation(len(kept))
            stream = pd.concat([stream[~usable], kept.iloc[order]])
        if not hands:
            stream = stream[usable.loc[stream.index]].head(count)
        found = (
            (synthetic_image(row, attributes=asked), bool(row["kept"]) or not arm.curated)
            for row in stream.to_dict("records")
        )
        counted = (image for image, kept in found if _counts(image, kept, hands))
        images.extend(sorted(islice(counted, count), key=lambda image: image.index))
    return images


def _counts(image: ArmImage, kept: bool, hands: Mapping[str, HandVerdict]) -> bool:
    """Whether an image may be trained on; a verdict by hand goes before those of filters."""
    said = hands.get(image.id)
    return kept if said is None else said.verdict == "keep"


def synthetic_image(row: Mapping[Any, Any], *, attributes: Mapping[str, str]) -> ArmImage:
    """The image of one row of ``verdicts.parquet``."""
    place = "/".join(
        [
            f"{row['generator']}/{row['fit']}/{row['label']}",
            *(f"{name}={value}" for name, value in attributes.items()),
        ]
    )
    return ArmImage(
        "synthetic",
        id=f"{place}/{row['index']}",
        label=str(row["label"]),
        generator=str(row["generator"]),
        fit=int(row["fit"]),
        index=int(row["index"]),
        chunk=str(row["chunk"]),
        row=int(row["row"]),
        attributes=tuple(attributes.items()),
        made_from=str(row["made_from"]),
        prompt=str(row["prompt"]),
    )
