"""What every step of the driver has at hand: the study, the store, the executor, decisions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.spec.arms import Arm, expand_arms
from synthlift.spec.study import Study
from synthlift.store import Artefact, StageRequest, Store
from synthlift.store.images import DataKeys
from synthlift.study.device_memory import holds, share_device
from synthlift.study.executors.local import HOLDS, LocalExecutor
from synthlift.study.ledger import Ledger
from synthlift.study.warning import early

if TYPE_CHECKING:
    from synthlift.study.beside import Images

NUMERICS = {"device": "cpu", "dtype": "float32", "threads": 1}


@dataclass
class Session:
    """One run of one study.

    Attributes:
        study: the resolved study file.
        store, executor, ledger: see their modules.
        base: folder that relative paths of the study start from.
        device: where heavy stages run.
        preset: decisions brought along by a resolved study file.
        preset_key: the identity of the study that they were taken for; "" = of any.
        log: ``log(event, **fields)``.
        key: the study's identity; known once the data are read.
        asked_study: the study as it was given, before a budget cut generators.
        beside: images beside the data set (see ``study.beside``), by what they are for.
        common: the training set that stands for all of them where a generator learns nothing of
            any, and its draw; None = none has images of every class.
        masks: key of the masks of the data set, where a generator needs them.
        sheets: folder for sheets of samples while generators train, by generator and fit.
        open_decisions: names of those that this session takes for itself alone, unless they were
            taken before.
        spare: hears of keys before they are computed, to keep ``gc`` from them.
        asked: keys of every request made, in order, for the cost table.
    """

    study: Study
    store: Store
    executor: LocalExecutor
    ledger: Ledger
    base: Path
    device: str = "cpu"
    preset: dict[str, Any] = field(default_factory=dict)
    preset_key: str = ""
    log: Callable[..., None] = lambda *_a, **_k: None
    key: str = ""
    beside: dict[str, tuple[Images, ...]] = field(default_factory=dict)
    common: tuple[DataKeys, int] | None = None
    masks: str = ""
    sheets: Path | None = None
    open_decisions: set[str] = field(default_factory=set)
    spare: Callable[[Collection[str]], None] = lambda _keys: None
    asked: dict[str, None] = field(default_factory=dict)
    asked_study: Study = field(init=False)
    _own: dict[str, dict[str, Any]] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)
    _held: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.asked_study = self.study

    def ask(self, requests: Iterable[StageRequest]) -> list[Artefact]:
        """Compute what is missing and open the artefacts, in the order of the requests."""
        wanted = list(requests)
        self._count(request.key for request in wanted)
        if any(request.local.get(HOLDS) for request in wanted):
            self.executor.holding = share_device(self)
        for text in early(self, wanted):
            self.log("warning", text=text)
        self.executor.run(wanted)
        return [self.store.open(request.key) for request in wanted]

    def holds(self, generator: str) -> Mapping[str, int]:
        """What requests of a generator say of their memory under ``local``; looked up once.

        Nothing is known of one that the study does not describe.
        """
        if generator not in self._held:
            named = {one.title: one for one in self.study.generators}
            self._held[generator] = holds(named[generator]) if generator in named else {}
        return self._held[generator]

    def decide(self, name: str, make: Callable[[], tuple[Any, str]]) -> Any:
        """Take a decision once, or reuse the recorded one (or the study file's own); log it."""
        if name in self.open_decisions and not self.decided(name):
            if name not in self._own:
                value, reason = make()
                self._own[name] = {"name": name, "value": value, "reason": reason}
                self.log("decision", **self._own[name])
            return self._own[name]["value"]
        given = self.preset.get(name)
        if given is not None:
            taken = (given["value"], given.get("reason", ""))
            value = self.store.decide(self.key, name, lambda: taken)
        else:
            value = self.store.decide(self.key, name, make)
        if name not in self._said:
            self._said.add(name)
            self.log("decision", **_without_time(self.store.decisions(self.key)[name]))
        return value

    def decisions(self) -> dict[str, dict[str, Any]]:
        """All decisions so far, by name."""
        return {**self.store.decisions(self.key), **self._own}

    def decided(self, name: str) -> bool:
        """Whether a decision was taken before, in this store or by the study file."""
        return name in self.preset or name in self.store.decisions(self.key)

    def noted(self, name: str) -> bool:
        """Whether something was recorded as done before; kept in this store from now on."""
        return self.decided(name) and bool(self.decide(name, lambda: (False, "")))

    def remember(self, requests: Iterable[StageRequest]) -> None:
        """Count work behind a decision that was taken before, as far as the store still has it."""
        self._count(r.key for r in requests if self.store.has(r.key))

    def _count(self, keys: Iterable[str]) -> None:
        counted = dict.fromkeys(keys)
        self.asked.update(counted)
        self.spare(counted)

    def arms(self) -> tuple[Arm, ...]:
        """The study's arms, expanded."""
        return expand_arms(
            self.study.arms,
            generators=[generator.title for generator in self.study.generators],
            filters=[component.title for component in self.study.curation],
        )

    @property
    def numerics(self) -> dict[str, Any]:
        """What changes results besides the configuration; part of every key."""
        return {**NUMERICS, "device": self.device.partition(":")[0]}

    @property
    def training_numerics(self) -> dict[str, Any]:
        """The same for training classifiers, in the layout that is faster in nearly every case."""
        rough = self.study.training.precision == "bfloat16"
        return {**self.numerics, "channels_last": True, "bf16": rough}

    def plugin_paths(self) -> list[str]:
        """The study's plug-in files as absolute paths."""
        return [str((self.base / path).resolve()) for path in self.study.plugins]


def _without_time(decision: dict[str, Any]) -> dict[str, Any]:
    return {name: decision[name] for name in ("name", "value", "reason")}
