"""The generated images of a run, one by one, with what filters and people said of them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from synthlift.api.exporting.entries import FitSeeds
from synthlift.api.images import Pixels
from synthlift.api.training_sets import VERDICTS, ArmImage, arm_images, synthetic_image
from synthlift.errors import InputError
from synthlift.spec import people
from synthlift.spec.people import HandVerdict, Word
from synthlift.spec.provenance import png_bytes

if TYPE_CHECKING:
    import pyarrow

    from synthlift.api.run_folder import Run
    from synthlift.types import UInt8

SCORE = "score_"
_ID = "id"


@dataclass(frozen=True)
class GeneratedImage:
    """One generated image of a run.

    Attributes:
        row: its row in ``verdicts.parquet``.
        image: which one.
        kept: whether all filters kept it.
        rejected_by: the first filter that did not; "" where it was kept.
        reason: in words.
        scores: of the filters, by their names.
    """

    row: int
    image: ArmImage
    kept: bool
    rejected_by: str
    reason: str
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """Which generated images are looked for; what is None does not count.

    Attributes:
        label: class.
        kept: whether filters kept them.
        rejected_by: the filter that rejected them.
        arm: on which a model of this arm was trained in the first replicate.
        by_hand: whether a verdict by hand counts.
    """

    label: str | None = None
    kept: bool | None = None
    rejected_by: str | None = None
    arm: str | None = None
    by_hand: bool | None = None


class GeneratedImages:
    """All generated images of one run; their table is read once.

    Args:
        run: a finished run.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self._pixels = Pixels(run)

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def find(self, wanted: Wanted) -> list[int]:
        """Rows of the images that are looked for, in the order of ``verdicts.parquet``.

        Raises:
            InputError: there is no such arm, or it is a control.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        if not len(self):
            return []
        chosen = pa.array([True]).take(pa.array([0] * len(self)))
        tests: list[Any] = []
        if wanted.label is not None:
            tests.append(pc.equal(self._table["label"], wanted.label))
        if wanted.kept is not None:
            tests.append(pc.equal(self._table["kept"], wanted.kept))
        if wanted.rejected_by is not None:
            tests.append(pc.equal(self._table["rejected_by"], wanted.rejected_by))
        if wanted.arm is not None:
            tests.append(self._among(self._of_arm(wanted.arm)))
        if wanted.by_hand is not None:
            judged = self._among(people.in_force(self.run.path).keys())
            tests.append(judged if wanted.by_hand else pc.invert(judged))
        for test in tests:
            chosen = pc.and_(chosen, test)
        found: list[int] = pc.indices_nonzero(chosen).to_pylist()
        return found

    def get(self, row: int) -> GeneratedImage:
        """One image by its row.

        Raises:
            InputError: there is none.
        """
        if not 0 <= row < len(self):
            raise InputError(
                f"generated image {row}",
                rule=f"the run has {len(self):,} generated images, counted from 0",
                remedy="choose one of them",
            )
        facts: dict[str, Any] = self._table.slice(row, 1).to_pylist()[0]
        return _one(row, facts)

    def reasons(self) -> dict[str, int]:
        """Rejected images by the filter that rejected them."""
        import pyarrow.compute as pc

        if not len(self):
            return {}
        counts = pc.value_counts(self._table["rejected_by"]).to_pylist()
        found = {str(one["values"] or ""): int(one["counts"]) for one in counts}
        return {name: found[name] for name in sorted(found) if name}

    # ── pixels ────────────────────────────────────────────────────────────────────────────────

    def png(self, one: GeneratedImage) -> bytes:
        """The image as PNG; its text chunks say what made it.

        Raises:
            InputError: the store has no pixels of it any more.
        """
        return png_bytes(self.pixels(one.image), facts=self.facts(one))

    def facts(self, one: GeneratedImage) -> dict[str, str]:
        """What made it."""
        return self._seeds.facts(one.image, shares=self._pixels.shares(one.image))

    def pixels(self, image: ArmImage) -> UInt8:
        """uint8 [size, size, C]: generated ones from the store, real ones as models see them.

        Raises:
            InputError: they are gone.
        """
        store = self._pixels.store
        if image.origin == "synthetic" and (store is None or not store.has(image.chunk)):
            raise InputError(
                "the pixels of this image are no longer in the store",
                rule="the store keeps the images of a run as long as it knows the run",
                remedy="run the study again: what is missing is computed anew",
            )
        return self._pixels.training(image)

    @cached_property
    def _seeds(self) -> FitSeeds:
        return FitSeeds(self.run)

    # ── verdicts by hand ──────────────────────────────────────────────────────────────────────

    def judge(self, row: int, verdict: Word, *, who: str) -> HandVerdict:
        """Record a verdict by hand; ``withdrawn`` takes back the one that counts.

        Raises:
            InputError: there is no such image, nothing to take back, or it is a copy, which nobody
                can see and which therefore no hand puts back.
        """
        one = self.get(row)
        if verdict == "withdrawn" and one.image.id not in people.in_force(self.run.path):
            raise InputError(
                "no verdict by hand counts for this image",
                rule="only a verdict that counts can be taken back",
                remedy="reload the page: somebody may have taken it back before",
            )
        if verdict == "keep" and self.copy_found(one):
            raise InputError(
                "this image was rejected as a copy of a real one",
                rule="copies are found by comparison with every training image, beyond any eye",
                remedy="leave it rejected; it could show somebody's picture as a new one",
            )
        said = HandVerdict(image=one.image.id, verdict=verdict, who=who, at=people.now())
        people.append(self.run.path, people.HAND_VERDICTS, said)
        return said

    def copy_found(self, one: GeneratedImage) -> bool:
        """Whether a filter rejected it as a copy, whatever the study calls that filter."""
        return self._kinds.get(one.rejected_by, one.rejected_by) in people.COPIES

    @cached_property
    def _kinds(self) -> Mapping[str, str]:
        return {component.title: component.kind for component in self.run.study.curation}

    # ── the table ─────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _table(self) -> pyarrow.Table:
        """``verdicts.parquet`` with the images' ids beside it."""
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        path = self.run.path / VERDICTS
        table = pq.read_table(path) if path.is_file() else pa.table({})
        if not table.num_rows:
            return pa.table({})
        asked = {text: _words(text) for text in pc.unique(table["attributes"]).to_pylist()}
        words = [asked[text] for text in table["attributes"].to_pylist()]
        as_text = {
            name: pc.cast(table[name], pa.string())
            for name in ("generator", "fit", "label", "index")
        }
        cells = pc.binary_join_element_wise(
            as_text["label"], pa.chunked_array([pa.array(words, pa.string())]), ""
        )
        ids = pc.binary_join_element_wise(
            as_text["generator"], as_text["fit"], cells, as_text["index"], "/"
        )
        return table.append_column(_ID, ids)

    def _among(self, ids: Collection[str]) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        return pc.is_in(self._table[_ID], value_set=pa.array(list(ids), pa.string()))

    def _of_arm(self, name: str) -> Sequence[str]:
        arm = self.run.arm(name)
        return [one.id for one in arm_images(self.run, arm) if one.origin == "synthetic"]


def _words(attributes: str) -> str:
    return "".join(f"/{name}={value}" for name, value in json.loads(attributes or "{}").items())


def _one(place: int, row: Mapping[str, Any]) -> GeneratedImage:
    scores = {
        name.removeprefix(SCORE): float(value)
        for name, value in row.items()
        if name.startswith(SCORE) and value is not None and value == value
    }
    return GeneratedImage(
        row=place,
        image=synthetic_image(row, attributes=json.loads(row["attributes"] or "{}")),
        kept=bool(row["kept"]),
        rejected_by=str(row["rejected_by"] or ""),
        reason=str(row["reason"] or ""),
        scores=scores,
    )
