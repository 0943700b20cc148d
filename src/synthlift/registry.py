"""Components are found through entry points; built-ins register exactly as third parties do.

An entry point of the group ``synthlift.readers``, ``synthlift.generators``, ``synthlift.filters``
or ``synthlift.classifiers`` names a :class:`Descriptor`. Descriptors import no torch: they carry
the Config and the address of the class, which is imported when it is needed.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from synthlift.errors import InputError, nearest_name

Group = Literal["readers", "generators", "filters", "classifiers"]
OnePool = Literal["no", "training set", "study"]
Origins = Literal["learnt", "changed", "along", "part", "elsewhere"]
MEASURABLE = ("precision", "compile", "micro_batch")
"""Settings with a default in whose place ``measured`` may stand: a fit times what is best."""


class ComponentConfig(BaseModel):
    """Base of every component's Config: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def automatic_steps(self, *, examples: int, image_shape: tuple[int, int, int]) -> int | None:
        """Training steps that ``steps: auto`` stands for; None = cannot be cut to a budget."""
        del examples, image_shape
        return None

    def trained_with(self, **settings: Any) -> Mapping[str, Any]:
        """Those settings of a training that it has, such as ``steps``, where they belong in it."""
        return {name: v for name, v in settings.items() if name in type(self).model_fields}

    def shortened(self, steps: int) -> Mapping[str, Any]:
        """Settings with which it trains for so many steps and nothing else, to be timed."""
        fields = type(self).model_fields
        open_ = [name for name in MEASURABLE if getattr(self, name, None) == "measured"]
        return {
            **{name: fields[name].get_default(call_default_factory=True) for name in open_},
            **self.trained_with(steps=steps),
        }

    def pools(self) -> Mapping[str, Mapping[str, Any]]:
        """Further images that the component reads, by the name it finds them under.

        Each is told as :class:`synthlift.spec.data.Pool` is.
        """
        return {}

    def strengths(self) -> Mapping[str, Mapping[str, Any]]:
        """Settings that a filter's strengths stand for, the weakest first; {} = it has none.

        All strengths set the same fields; those of other names stay as they are given.
        """
        return {}

    def kept_share(self) -> float:
        """Share of the images before it that a selector keeps, in (0, 1]; 1 for a filter."""
        return 1.0

    def wants_masks(self) -> bool:
        """Whether these settings need masks, where the descriptor does not need them anyway."""
        return False

    def heeds_sources(self) -> bool:
        """Whether, with these settings, images can be made from chosen ones of their class.

        Asked only where the descriptor has the condition ``sources``.
        """
        return True

    def origins(self) -> Origins:
        """How a generator's images come of the training images, if they do.

        ``learnt`` from them, ``changed`` from them, drawn ``along`` them, changed in a ``part``
        alone, or from ``elsewhere``.
        """
        return "learnt"

    def learning_rate_factor(self) -> float:
        """Of the automatic learning rate of classifiers; below 1 where pretrained weights move."""
        return 1.0

    def trains(self) -> bool:
        """Whether a classifier with these settings learns from images at all."""
        return True

    def one_pool(self) -> OnePool:
        """How far one pool of a generator's images serves, where it learns nothing (METHOD §1).

        ``training set``: fits on one training set differ by their seed alone. ``study``: nothing
        but names and seeds enters, so that fits on any training set are the same. ``no``: it
        learns, or another seed gives it other images to choose from.
        """
        return "no"

    def device_bytes(self) -> int:
        """Bytes of a device's memory that a worker holds with it, estimated; 0 = not counted."""
        return 0

    def original_bytes(self, *, image_shape: tuple[int, int, int]) -> int:
        """Bytes of one image as it was drawn, which is kept beside that of the study's size, before
        it is compressed; 0 = none is kept."""
        del image_shape
        return 0

    def monitored_images(self, *, examples: int, image_shape: tuple[int, int, int]) -> int:
        """Images that training samples for its monitor, or encodes; counts toward a budget.

        Where it learns one model after another, those of one of them.
        """
        del examples, image_shape
        return 0

    def images_before(self) -> int:
        """Images that it samples once, before it is trained; they count toward a budget, too."""
        return 0

    def models_learnt(self, classes: int) -> int:
        """Models that it learns one after another for so many classes, sharing its steps.

        :meth:`shortened` trains one of them, with the steps to itself.
        """
        del classes
        return 1


@dataclass(frozen=True)
class Descriptor:
    """What is known of a component without importing it.

    Attributes:
        kind: the name used in a study file.
        config: its pydantic Config.
        version: changes when its results change; part of every key.
        target: ``"module:Class"``; the class takes the Config as its only argument.
        summary: one line for people.
        conditions: what images may be asked for by: ``labels``, ``attributes`` (its Config then
            has a field of that name), ``sources`` (the training images that it starts from),
            ``picture`` (one that is given: what it fits can vary it, ``synthlift.types.Varies``),
            ``prompt`` (words of one's own: a request may set ``prompt`` and ``negative_prompt``),
            ``guidance`` (a request may set ``guidance_scale`` and ``sampler_steps``, which are
            fields of its Config, too; their ranges there hold for requests).
        needs: requirements such as ``labels``, ``masks``, ``gpu``; ``inputs`` = it samples from
            the images that it was fitted on; ``stock`` = it has so many images and no more;
            ``turns`` = the index of a request has a say beside its seed: whose turn it is.
        distribution: filled in by the registry: distribution name and version, or a file's hash.
    """

    kind: str
    config: type[ComponentConfig]
    version: str
    target: str
    summary: str = ""
    conditions: frozenset[str] = frozenset({"labels"})
    needs: frozenset[str] = frozenset()
    distribution: str = ""

    def identity(self) -> str:
        """What a key must contain besides the Config."""
        return f"{self.distribution}:{self.kind}:{self.version}"

    def build(self, config: ComponentConfig) -> Any:
        """Import the class and build the component from its Config."""
        module, _, name = self.target.partition(":")
        return getattr(importlib.import_module(module), name)(config)


_plugins: dict[Group, dict[str, Descriptor]] = {}


@functools.cache
def _installed(group: Group) -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for entry in importlib.metadata.entry_points(group=f"synthlift.{group}"):
        descriptor: Descriptor = entry.load()
        origin = entry.dist.name if entry.dist else "unknown"
        version = "" if origin == "synthlift" or entry.dist is None else f"=={entry.dist.version}"
        found[descriptor.kind] = _with_origin(descriptor, origin + version)
    return found


def _with_origin(descriptor: Descriptor, origin: str) -> Descriptor:
    from dataclasses import replace

    return replace(descriptor, distribution=origin)


def available(group: Group) -> dict[str, Descriptor]:
    """All descriptors of a group by kind, installed ones and those of loaded plug-in files."""
    return {**_installed(group), **_plugins.get(group, {})}


def descriptor(group: Group, kind: str) -> Descriptor:
    """Find one descriptor.

    Raises:
        InputError: no such kind; the nearest valid name is given.
    """
    known = available(group)
    if kind not in known:
        raise InputError(
            f"{group[:-1]} kind '{kind}'{nearest_name(kind, known)}",
            rule=f"known kinds are: {', '.join(sorted(known))}",
            remedy="correct the name, or list the file that defines it under 'plugins:'",
        )
    return known[kind]


def load_plugin(path: Path) -> None:
    """Import a plug-in file; its ``SYNTHLIFT = {"generators": [Descriptor, …]}`` is registered.

    The file's SHA-256 becomes part of every key that uses it. A file that was loaded before and
    has not changed is not run again.

    Raises:
        InputError: no such file, it fails while it is imported, or what it offers has no known
            form.
    """
    if not path.is_file():
        raise InputError(
            f"plug-in file '{path}' does not exist",
            rule="entries of 'plugins:' are paths of Python files, relative to the study file",
            remedy="correct the path",
        )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = f"synthlift_plugin_{path.stem}_{digest[:8]}"
    module = sys.modules.get(name) or _import_file(name, path)
    for group, descriptors in _offered(module, path).items():
        for item in descriptors:
            _plugins.setdefault(group, {})[item.kind] = _with_origin(item, f"file-{digest}")


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _unusable(path, "is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _unusable(path, f"cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _offered(module: ModuleType, path: Path) -> dict[Group, list[Descriptor]]:
    offered = getattr(module, "SYNTHLIFT", None)
    if not isinstance(offered, dict) or not offered:
        raise _unusable(path, "offers nothing")
    groups: tuple[str, ...] = get_args(Group)
    for group, descriptors in offered.items():
        if group not in groups:
            raise _unusable(path, f"offers '{group}'{nearest_name(str(group), groups)}")
        if not all(isinstance(item, Descriptor) for item in descriptors):
            raise _unusable(path, f"offers something under '{group}' that is no Descriptor")
    return offered


def _unusable(path: Path, why: str) -> InputError:
    return InputError(
        f"plug-in file '{path}' {why}",
        rule="it must define SYNTHLIFT = {'generators': [Descriptor(...)]}, or the same for "
        "'readers', 'filters' and 'classifiers'",
        remedy="compare it with docs/examples/my_generator.py",
    )
