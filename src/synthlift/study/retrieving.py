"""Arms that train on real images from an unlabelled pool: asking for them, telling of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from synthlift.errors import InputError
from synthlift.spec.arms import Arm
from synthlift.spec.data import Data
from synthlift.spec.targets import Cell
from synthlift.store import StageRequest
from synthlift.store.images import as_inputs, usable_rows
from synthlift.study.beside import UNLABELLED, unlabelled_beside
from synthlift.study.layout import FitUnit, Replicate, most_wanted, wanted_images
from synthlift.study.modelling import Modelling, Retrieved, scorer_request
from synthlift.study.preparation import Prepared
from synthlift.study.session import Session
from synthlift.study.stages.retrieval import NEIGHBOURS, nothing_to_retrieve, read_retrieved
from synthlift.study.work import Work

if TYPE_CHECKING:
    import pandas as pd


def require_pool(arms: Iterable[Arm], data: Data) -> None:
    """Refuse arms that retrieve where nothing is there to be retrieved.

    Raises:
        InputError: so it is.
    """
    arm = next((arm for arm in arms if arm.retrieved), None)
    if arm is None or data.unlabelled or data.split.labels_per_class or data.split.file:
        return
    raise InputError(
        f"arm '{arm.name}' retrieves images, and the study has none without a label",
        rule="it takes real images from a pool whose classes nobody has told",
        remedy="name a folder of such images under data.unlabelled, or leave the arm out",
    )


def require_images(session: Session, prepared: Prepared, arms: Iterable[Arm]) -> None:
    """Refuse arms that retrieve where the pool shows nothing but pictures of the data set.

    Raises:
        InputError: so it is.
    """
    if not any(arm.retrieved for arm in arms):
        return
    images = prepared.split.summary["images"]
    left = max(sum(images[draw].get(UNLABELLED, {}).values()) for draw in prepared.counts)
    for one in session.beside.get(UNLABELLED, ()):
        shown = {theirs for theirs, _ in session.store.open(one.overlap).summary["pairs"]}
        left += len(set(usable_rows(session.store, one.inventory)["id"].tolist()) - shown)
    if not left:
        raise nothing_to_retrieve()


def retrieve(work: Work, replicates: Sequence[Replicate]) -> None:
    """Find the images that these replicates' arms train on."""
    arms = [arm for arm in work.arms if arm.retrieved]
    draws = sorted({r.draw for r in replicates} - set(work.shared.retrieved))
    if not arms or not draws:
        return
    pools = {draw: _pool_of(work, draw) for draw in draws}
    _retrieve(work.session, work.shared, arms, pools)


def retrieve_once(session: Session, shared: Modelling, arms: Sequence[Arm], *, draw: int) -> None:
    """The same for one training set outside the study's layout."""
    _retrieve(session, shared, arms, {draw: (shared.data["split"], draw)})


def _retrieve(
    session: Session, shared: Modelling, arms: Sequence[Arm], pools: dict[int, tuple[str, int]]
) -> None:
    scorers = {draw: scorer_request(session, shared, FitUnit(draw, draw)) for draw in pools}
    session.ask(scorers.values())
    requests = []
    for draw, (split, pool_draw) in pools.items():
        most = most_wanted(wanted_images(arm, shared.census(draw)) for arm in arms)
        requests.append(
            StageRequest(
                stage="retrieve",
                function="synthlift.study.stages.retrieval:retrieve",
                config={
                    "draw": draw,
                    "pool_draw": pool_draw,
                    "neighbours": NEIGHBOURS,
                    "most": [most.get(Cell(k), 0) for k in sorted(shared.counts[draw])],
                },
                inputs={
                    **as_inputs(shared.data),
                    "pool": split,
                    "scorer": scorers[draw].key,
                    **unlabelled_beside(session),
                },
                numerics=session.numerics,
                label="retrieving images from the unlabelled pool",
                local={"plugins": session.plugin_paths()},
            )
        )
    for draw, artefact in zip(pools, session.ask(requests), strict=True):
        shared.retrieved[draw] = Retrieved(artefact.key, tuple(artefact.summary["counts"]))


def _pool_of(work: Work, draw: int) -> tuple[str, int]:
    """The split and draw whose unlabelled part may be retrieved from.

    A split inside a training set has none of its own: it is that of the training set.
    """
    if not work.inside:
        return work.shared.data["split"], draw
    record = work.prepared.split.record
    config = record["config"]
    return str(record["inputs"]["split"]), int(config["draws"][draw // config["folds"]])


def retrieved_in_words(work: Work) -> list[str]:
    """What the arms that retrieve were given, one sentence each."""
    said = []
    for arm in work.arms:
        if not arm.retrieved:
            continue
        draws = {r.draw for r in work.replicates} & set(work.shared.retrieved)
        wanted = [wanted_images(arm, work.shared.census(draw)) for draw in sorted(draws)]
        got = [
            work.shared.retrieved[draw].given(need)
            for draw, need in zip(sorted(draws), wanted, strict=True)
        ]
        if not got:
            continue
        asked, found = (sum(sum(one.values()) for one in many) for many in (wanted, got))
        said.append(
            f"Arm '{arm.name}' trains on real images that were retrieved from the unlabelled "
            f"pool, not on synthetic ones: {found / len(got):.1f} of {asked / len(got):.1f} "
            "wanted on average over training sets. Their classes are those of the training "
            "images that they resemble; nobody has checked them."
        )
    return said


def retrieved_table(work: Work) -> pd.DataFrame | None:
    """Draw, class, rank, id and distance of every image retrieved; None where none was."""
    import pandas as pd

    classes = work.prepared.opened.classes
    frames = []
    for draw, one in sorted(work.shared.retrieved.items()):
        ids, labels, distances = read_retrieved(work.session.store.open(one.key))
        frame = pd.DataFrame({"draw": draw, "label": labels, "id": ids, "distance": distances})
        frame.insert(2, "rank", frame.groupby("label").cumcount())
        frames.append(frame.assign(label=[classes[k] for k in labels]))
    return pd.concat(frames, ignore_index=True) if frames else None
