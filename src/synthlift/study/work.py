"""The state of a running study: what was planned, and what has been made of it so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from synthlift.spec.arms import Arm, Augmentation
from synthlift.store import Artefact
from synthlift.study.choices import Contrast, Selection
from synthlift.study.external import External
from synthlift.study.filtering import FilterStrengths
from synthlift.study.generation import GenerationPlan
from synthlift.study.layout import Replicate
from synthlift.study.modelling import Modelling
from synthlift.study.pools import Pool
from synthlift.study.preparation import Prepared
from synthlift.study.session import Session


@dataclass
class Work:
    """Everything a step of the driver reads or adds to.

    Attributes:
        session, prepared, shared, generation: fixed once the study is planned.
        arms: the planned arms; those of base ``best_rival`` without their recipe yet.
        unbalanced, selection: see ``choices``.
        inside: whether this is the study inside its own training sets (``crossing``).
        splits: where every split of a cross-validation chooses for itself: the split that each
            draw chooses for; None = choices are pooled.
        planned: replicates planned before the test is opened; the layout has room for more.
        training_steps: classifier steps cut to a budget, or None.
        generator_share, training_share: share of the wanted generator and classifier training,
            in (0, 1].
        strengths: the strength of tuned augmentation, by split (None = pooled).
        filter_strengths: strengths of filters that are chosen, by split (None = pooled).
        final_arms: the arms as trained, recipes filled in, by name; where splits choose, with the
            recipe most of them chose.
        trained: the arm behind every model, by (arm name, replicate index).
        models: committed models by (arm name, replicate index).
        pools: generator fits by (generator name, fit index).
        stopped: generators that the memorisation gate stopped, with the reason.
        replicates: replicates of which every arm is trained and that the verdict rests on.
        added: replicates trained after the opening (``--more``).
        opened: whether the test is open: what is trained from now on is added.
        dropped: planned replicates that the budget gave up.
        contrast: the declared pair, once known.
        tests, generated: test predictions, and predictions on reserved generated images, by
            (arm name, replicate index), after the opening.
        external: test sets from elsewhere.
        outside: predictions on them, by set and (arm name, replicate index).
    """

    session: Session
    prepared: Prepared
    shared: Modelling
    generation: GenerationPlan
    arms: tuple[Arm, ...]
    unbalanced: bool
    selection: Selection
    inside: bool = False
    splits: Mapping[int, int] | None = None
    planned: int = 0
    training_steps: int | None = None
    generator_share: float = 1.0
    training_share: float = 1.0
    strengths: dict[int | None, Augmentation] = field(default_factory=dict)
    filter_strengths: dict[int | None, FilterStrengths] = field(default_factory=dict)
    final_arms: dict[str, Arm] = field(default_factory=dict)
    trained: dict[tuple[str, int], Arm] = field(default_factory=dict)
    models: dict[tuple[str, int], Artefact] = field(default_factory=dict)
    pools: dict[tuple[str, int], Pool] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    replicates: list[Replicate] = field(default_factory=list)
    added: list[Replicate] = field(default_factory=list)
    opened: bool = False
    dropped: int = 0
    contrast: Contrast | None = None
    tests: dict[tuple[str, int], Artefact] = field(default_factory=dict)
    generated: dict[tuple[str, int], Artefact] = field(default_factory=dict)
    external: tuple[External, ...] = ()
    outside: dict[str, dict[tuple[str, int], Artefact]] = field(default_factory=dict)

    def pool_of(self, generator: str | None, replicate: Replicate) -> Pool | None:
        """The pool that a replicate takes images of a generator from; None = there is none."""
        shared = generator in self.shared.one_pool
        return self.pools.get((generator or "", replicate.draw if shared else replicate.fit))

    def given_pool(self, generator: str | None) -> bool:
        """Whether all replicates use images of one pool of a generator."""
        reach = self.shared.one_pool.get(generator or "", "no")
        return reach == "study" or (reach != "no" and self.prepared.layout.design == "fixed")

    def given_pools_alone(self) -> bool:
        """Whether replicates on the one training set differ by nothing but their own seeds."""
        used = {arm.generator for arm in self.arms if arm.uses_synthetic}
        fixed = self.prepared.layout.design == "fixed"
        return fixed and bool(used) and all(map(self.given_pool, used))

    def split_of(self, replicate: Replicate) -> int | None:
        """The split whose choices a replicate follows; None where choices are pooled."""
        return None if self.splits is None else self.splits[replicate.draw]

    def by_split(self, replicates: Iterable[Replicate]) -> dict[int | None, list[Replicate]]:
        """Replicates by the split that chooses for them."""
        found: dict[int | None, list[Replicate]] = {}
        for replicate in replicates:
            found.setdefault(self.split_of(replicate), []).append(replicate)
        return found
