"""A stage's request: what is computed, from what, with which numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthlift.store.keys import digest

if TYPE_CHECKING:
    from synthlift.store.store import Store

Summary = dict[str, Any]


@dataclass(frozen=True)
class StageRequest:
    """One unit of work; everything but ``label``, ``device`` and ``local`` takes part in the key.

    Attributes:
        stage: short name: read, resize, split, fit, sample, judge, model, predict …
        function: importable ``"module:function"`` of the form of :data:`StageFunction`.
        config: JSON settings with all defaults filled in, plug-in identities included.
        inputs: keys of other artefacts by role; a list where there are several.
        seed: this unit's seed.
        numerics: device kind, dtype, threads, chunk or micro-batch sizes.
        version: changes when the stage's code changes its results.
        label: words for progress and logs; never in the key.
        device: where to run ("cpu", "cuda:0"); its *kind* belongs into ``numerics``.
        local: facts of this machine, such as where the source lies; never in the key.
    """

    stage: str
    function: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, str | list[str]] = field(default_factory=dict)
    seed: int = 0
    numerics: Mapping[str, Any] = field(default_factory=dict)
    version: str = "1"
    label: str = ""
    device: str = "cpu"
    local: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """``<stage>-<sha256>``."""
        return f"{self.stage}-" + digest(
            {
                "function": self.function,
                "config": self.config,
                "inputs": self.inputs,
                "seed": self.seed,
                "numerics": self.numerics,
                "version": self.version,
            }
        )

    def input_keys(self) -> list[str]:
        """All input keys, flattened."""
        keys: list[str] = []
        for value in self.inputs.values():
            keys.extend([value] if isinstance(value, str) else value)
        return keys

    def one(self, role: str) -> str:
        """The single key in ``role``."""
        value = self.inputs[role]
        assert isinstance(value, str), role
        return value

    def many(self, role: str) -> list[str]:
        """The list of keys in ``role`` (empty when absent)."""
        value = self.inputs.get(role, [])
        assert isinstance(value, list), role
        return value


@dataclass(frozen=True)
class StageContext:
    """What a stage function works with.

    Attributes:
        store: read inputs through ``store.open(key)``.
        out: empty folder for the output files; becomes the artefact.
        work: private folder that survives kills; check-points go here.
        progress: ``progress(done, total, note)``.
        log: ``log(event, **fields)`` → the run's JSON-lines log.
        digests: what is recorded of output files, by name, where the stage knows it already: the
            SHA-256 (hex), or another hash with its name before a colon; they are not hashed again.
    """

    store: Store
    out: Path
    work: Path
    progress: Callable[[int, int, str], None]
    log: Callable[..., None]
    digests: dict[str, str] = field(default_factory=dict)


StageFunction = Callable[[StageRequest, StageContext], Summary]


def resolve(function: str) -> StageFunction:
    """Import ``"module:function"``."""
    module, _, name = function.partition(":")
    found: StageFunction = getattr(importlib.import_module(module), name)
    return found
