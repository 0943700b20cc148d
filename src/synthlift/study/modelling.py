"""Requests for classifiers: which images, which recipe, which seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthlift.registry import OnePool
from synthlift.seeds import seed_for
from synthlift.spec.arms import Arm, Recipe
from synthlift.spec.targets import SOURCES, By, Cell, class_cells
from synthlift.store import StageRequest
from synthlift.store.images import DataKeys, ManifestEntry, as_inputs
from synthlift.study.components import Resolved, resolve_component, settings_of
from synthlift.study.layout import FitUnit, Replicate, wanted_images
from synthlift.study.pools import Pool
from synthlift.study.pretrained import tuned_classifier
from synthlift.study.session import Session
from synthlift.study.sharing import set_seed
from synthlift.study.stages.models import model_seed

_STAGES = "synthlift.study.stages.models"

PLAIN = Arm(name="real", role="rival")
SCORER = Arm(
    name="scorer",
    role="control",
    recipe=Recipe(augmentation="medium", sampler="class_balanced"),
)


@dataclass(frozen=True)
class Aim:
    """What a target by errors goes by in one training set.

    Attributes:
        weights: of its cells; images are spread in proportion to them.
        errors: key of the artefact with the errors of single images.
    """

    weights: Mapping[Cell, float]
    errors: str


@dataclass(frozen=True)
class Retrieved:
    """Real images from an unlabelled pool that stand ready for one training set.

    Attributes:
        key: of the artefact that holds them, class by class.
        counts: how many, per class index.
    """

    key: str
    counts: tuple[int, ...]

    def given(self, wanted: Mapping[Cell, int]) -> dict[int, int]:
        """Images that an arm gets, per class index: what it wants, as far as there are any."""
        return {k: min(n, wanted.get(Cell(k), 0)) for k, n in enumerate(self.counts)}

    def manifest(self, wanted: Mapping[Cell, int]) -> list[ManifestEntry]:
        """The nearest of each class."""
        starts = [sum(self.counts[:k]) for k in range(len(self.counts))]
        return [
            {"chunk": self.key, "label": k, "rows": list(range(starts[k], starts[k] + n))}
            for k, n in self.given(wanted).items()
            if n
        ]


@dataclass(frozen=True)
class Modelling:
    """What all models of a study share.

    Attributes:
        data: the data set's artefacts.
        classifier: the component with defaults.
        training: resolved training settings per draw, as JSON.
        counts: real training images per class index, per draw.
        cells: the same of finer cells, where some arm aims at attributes.
        aims: what targets by errors go by, once measured, by draw, kind and attributes.
        retrieved: images from an unlabelled pool, once found, by draw.
        one_pool: of generators that learn nothing, how far one pool of images serves.
        from_sources: generators that can be told which training images to start from.
    """

    data: DataKeys
    classifier: Resolved
    training: dict[int, dict[str, Any]]
    counts: Mapping[int, Mapping[int, int]]
    cells: Mapping[int, Mapping[Cell, int]] = field(default_factory=dict)
    aims: dict[tuple[int, By, tuple[str, ...]], Aim] = field(default_factory=dict)
    retrieved: dict[int, Retrieved] = field(default_factory=dict)
    one_pool: Mapping[str, OnePool] = field(default_factory=dict)
    from_sources: frozenset[str] = frozenset()

    def census(self, draw: int) -> Mapping[Cell, int]:
        """Training images of the finest cells that count."""
        return self.cells.get(draw) or class_cells(self.counts[draw])

    def wanted(self, arm: Arm, draw: int) -> dict[Cell, int]:
        """Kept synthetic images per cell that an arm needs beside a training set.

        Those that are made from hard cases are cells of their own, of the attribute ``SOURCES``.
        """
        target = arm.target
        if target.by is None or arm.spread_evenly or not arm.uses_synthetic:
            return wanted_images(arm, self.census(draw))
        weights = self.aims[draw, target.by, target.attributes].weights
        wanted = wanted_images(arm, self.census(draw), weights=weights)
        if target.by != "hard_cases" or arm.generator not in self.from_sources:
            return wanted
        return {from_hard_cases(cell): count for cell, count in wanted.items() if count}

    def hard_cases(self, draw: int) -> str:
        """Key of the errors that tell a training set's hard cases; "" where none are needed."""
        found = (aim for (d, by, _), aim in self.aims.items() if (d, by) == (draw, "hard_cases"))
        return next((aim.errors for aim in found), "")


def from_hard_cases(cell: Cell) -> Cell:
    """The cell of images that are made from the hard training images of ``cell``."""
    return Cell.of(cell.label, {**dict(cell.attributes), SOURCES: "hard_cases"})


def _tuned(
    session: Session, shared: Modelling, arm: Arm, draw: int
) -> tuple[Resolved, dict[str, Any]]:
    """Classifier and training settings of an arm that trains another part of the classifier."""
    training = shared.training[draw]
    if arm.tuning is None:
        return shared.classifier, training
    own, usual = (
        settings_of("classifiers", one)
        for one in (tuned_classifier(session.study, arm), session.study.classifier)
    )
    if session.study.training.learning_rate == "auto":
        factor = own.learning_rate_factor() / usual.learning_rate_factor()
        training = {**training, "learning_rate": training["learning_rate"] * factor}
    return resolve_component("classifiers", tuned_classifier(session.study, arm)), training


def _request(
    session: Session,
    shared: Modelling,
    arm: Arm,
    *,
    draw: int,
    seed: int,
    label: str,
    manifest: Sequence[ManifestEntry] = (),
    **further: float,
) -> StageRequest:
    # Names and targets stay out of the key: two arms that train alike are one model.
    recipe = arm.model_dump(
        mode="json",
        include={"recipe", "duplicate", "regime", "synthetic_share", "posing"},
    )
    posing = shared.wanted(arm, draw) if arm.posing else {}
    classifier, training = _tuned(session, shared, arm, draw)
    return StageRequest(
        stage="model",
        function=f"{_STAGES}:train_model",
        config={
            "arm": recipe,
            "classifier": classifier,
            "training": training,
            "draw": draw,
            "fit": session.study.data.fit,
            "manifest": [dict(entry) for entry in manifest],
            "posing": {str(cell.label): n for cell, n in posing.items()},
            **further,
        },
        inputs={**as_inputs(shared.data), "chunks": [entry["chunk"] for entry in manifest]},
        seed=seed,
        numerics=session.training_numerics,
        label=label,
        device=session.device,
        local={"plugins": session.plugin_paths()},
    )


def scorer_request(session: Session, shared: Modelling, unit: FitUnit) -> StageRequest:
    """The classifier behind the agreement filter: real training images only."""
    seed = seed_for(session.study.seed, "scorer", unit.draw)
    return _request(
        session, shared, SCORER, draw=unit.draw, seed=seed, label="classifier for curation"
    )


def model_of(
    session: Session, shared: Modelling, *, draw: int, index: int, what: str = "real"
) -> StageRequest:
    """A model of the plain recipe on real images alone; the arm ``real`` of that replicate."""
    return _request(
        session,
        shared,
        PLAIN,
        draw=draw,
        seed=model_seed(session.study.seed, index),
        label=f"train {what}, {index + 1}",
    )


def errors_request(
    shared: Modelling,
    *,
    draw: int,
    part: str,
    models: Sequence[StageRequest],
    learnt: Sequence[Mapping[int, int]],
) -> StageRequest:
    """How the images that were validation images of some models fared; see ``stages.errors``."""
    return StageRequest(
        stage="errors",
        function="synthlift.study.stages.errors:measure",
        config={
            "draw": draw,
            "part": part,
            "learnt": [[own[k] for k in sorted(own)] for own in learnt],
        },
        inputs={**as_inputs(shared.data), "models": [model.key for model in models]},
        label="errors of the model on real images",
    )


def model_request(
    session: Session,
    shared: Modelling,
    arm: Arm,
    replicate: Replicate,
    pool: Pool | None,
    *,
    temperature: float | None = None,
) -> StageRequest:
    """One model of one arm and replicate; ``pool`` for arms with a generator.

    ``temperature`` is for a model without validation images to fit one on.
    """
    manifest: list[ManifestEntry] = []
    if pool is not None:
        counts = shared.wanted(arm, replicate.draw)
        manifest = pool.manifest(
            counts,
            curated=arm.curated,
            without=arm.without,
            drawn_by=set_seed(session.study.seed, pool.generator, replicate.index)
            if pool.generator in shared.one_pool
            else None,
        )
    elif arm.retrieved:
        counts = shared.wanted(arm, replicate.draw)
        manifest = shared.retrieved[replicate.draw].manifest(counts)
    return _request(
        session,
        shared,
        arm,
        draw=replicate.draw,
        seed=model_seed(session.study.seed, replicate.index),
        label=f"train {arm.name}, replicate {replicate.index + 1}",
        manifest=manifest,
        **({} if temperature is None else {"temperature": temperature}),
    )


def generated_request(
    session: Session, model: str, manifest: Sequence[ManifestEntry]
) -> StageRequest:
    """One model's predictions on the reserved generated images of its fit."""
    return StageRequest(
        stage="predict",
        function=f"{_STAGES}:predict_generated",
        config={"manifest": [dict(entry) for entry in manifest]},
        inputs={"model": model, "chunks": [entry["chunk"] for entry in manifest]},
        numerics=session.numerics,
        label="predict generated images",
        local={"plugins": session.plugin_paths()},
    )
