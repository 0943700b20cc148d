"""What a study is made of: an image folder, a study file, a run folder, or embedded data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from synthlift.errors import InputError
from synthlift.registry import load_plugin
from synthlift.spec.data import Data, LongTail, Split
from synthlift.spec.loading import load_study
from synthlift.spec.study import Study
from synthlift.study.folder import run_facts

FOLDER_BUDGET = "30m"
"""What a bare folder may take when nothing else is said."""


@dataclass(frozen=True)
class Asked:
    """A study that is ready to be run.

    Attributes:
        study: every key filled in.
        out: the run folder.
        store: where results are shared, or None for the usual place.
        preset: decisions that came with a resolved study file.
        preset_key: the identity of the study that they were taken for.
        base: folder that relative paths of the study start from.
        resumed: whether ``out`` was given as the source.
    """

    study: Study
    out: Path
    store: Path | None = None
    preset: Mapping[str, Any] | None = None
    preset_key: str = ""
    base: Path = field(default_factory=Path.cwd)
    resumed: bool = False


_ANYBODYS = frozenset(
    {
        *("images", "image", "imgs", "img", "photos", "pictures", "data", "dataset", "files"),
        *("train", "metadata", "labels", "annotations", "table", "index"),
    }
)
"""Names of folders and tables that say nothing of what is in them."""

Source = str | Path | Mapping[str, Any] | Study | Asked


def ask(
    source: Source,
    *,
    out: Path | str | None = None,
    store: Path | str | None = None,
    overrides: Sequence[str] = (),
    seed: int | None = None,
    budget: str | None = None,
) -> Asked:
    """Find out what ``source`` is and fill in everything that is left open.

    Args:
        source: a folder with one sub-folder a class, a study file, a run folder, ``scheme:name``
            (``sklearn:digits``), the mapping that a study file holds, or a ``Study``.
        out: run folder; by default ``runs/<study's name>``, for a run folder the folder itself.
        store: where results are shared between studies.
        overrides: ``"training.steps=400"``, as with ``--set``.
        seed, budget: shorthands for the overrides ``seed=`` and ``budget=``.

    What was asked before (:class:`Asked`) may be asked again with further changes.

    Raises:
        InputError: there is no such thing, or its content breaks a rule.
    """
    changes = _changes(overrides, seed, budget)
    asked = _changed(source, changes) if isinstance(source, Asked) else _resolve(source, changes)
    if store is not None:
        asked = replace(asked, store=Path(store))
    return asked if out is None else replace(asked, out=Path(out).absolute(), resumed=False)


def ask_with_plugins(source: Source, **options: Any) -> Asked:
    """As :func:`ask`, with the study's plug-in files loaded: for whoever computes in it.

    Raises:
        InputError: as :func:`ask`; or a plug-in file is gone or cannot be used.
    """
    asked = ask(source, **options)
    for path in asked.study.plugins:
        load_plugin((asked.base / path).resolve())
    return asked


def demo_study() -> Study:
    """Scikit-learn's digits, long-tailed: 40 down to 3 images a class, five draws, two seeds."""
    split = Split(
        design="redrawn",
        test=0.5,
        validation=0.2,
        draws=5,
        long_tail=LongTail(largest=40, smallest=3),
    )
    return Study(name="demo", data=Data(source="sklearn:digits", split=split))


def is_run_folder(path: Path) -> bool:
    """Whether ``path`` holds a resolved study file."""
    return path.is_dir() and _resolved(path / "study.yaml") is not None


def _changes(overrides: Sequence[str], seed: int | None, budget: str | None) -> list[str]:
    changes = list(overrides)
    if seed is not None:
        changes.append(f"seed={seed}")
    if budget is not None:
        changes.append("budget=null" if budget == "none" else f"budget='{budget}'")
    return changes


def _changed(asked: Asked, changes: list[str]) -> Asked:
    """The same with changes; recorded decisions belong to the study as it was."""
    if not changes:
        return asked
    study = load_study(asked.study.model_dump(mode="json"), changes)
    usual = asked.out == _asked(asked.study).out
    return replace(asked, study=study, preset=None, out=_asked(study).out if usual else asked.out)


def _resolve(source: str | Path | Mapping[str, Any] | Study, changes: list[str]) -> Asked:
    if isinstance(source, Study):
        study = load_study(source.model_dump(mode="json"), changes) if changes else source
        return _asked(study)
    if isinstance(source, Mapping):
        return _from_mapping(source, changes)
    path = Path(source).expanduser()
    if is_run_folder(path):
        run_facts(path)  # refuses a newer version before its unknown keys do
        content = _resolved(path / "study.yaml")
        assert content is not None
        asked = _from_mapping(content, changes)
        return replace(asked, out=path.absolute(), resumed=True)
    named = re.fullmatch(r"[A-Za-z][\w+-]+:.+", str(source)) is not None
    if path.suffix.lower() in _data_suffixes() and not (named and not path.exists()):
        return _asked(_bare(str(path.resolve()), _title(path), changes))
    if path.is_file():
        content = _resolved(path)
        if content is not None:
            return _from_mapping(content, changes)
        _refuse_other_files(path)
        return _asked(load_study(path, changes))
    if path.exists():
        return _asked(_bare(str(path.resolve()), _title(path), changes))
    if named:
        return _asked(_named(str(source), changes))
    raise InputError(
        f"there is no file or folder '{source}'",
        rule=_SOURCES,
        remedy=f"check the spelling; it was looked for at {path.absolute()}",
    )


_SOURCES = (
    "a source is a folder with one sub-folder a class, a table of paths, an .npz file, a study "
    "file, a run folder, or a name such as sklearn:digits"
)
_ARCHIVES = frozenset((".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst"))
_ARRAYS = frozenset((".npy", ".h5", ".hdf5", ".mat", ".pkl", ".pickle", ".pt", ".pth", ".tfrecord"))


def _refuse_other_files(path: Path) -> None:
    """Say of a file that is no study file what to do with it.

    Raises:
        InputError: an image, an archive, or arrays in another format than .npz.
    """
    from synthlift.data.decode import EXTENSIONS

    suffix = path.suffix.lower()
    if suffix in EXTENSIONS:
        what, remedy = "one image", "give the folder that holds the folders of the classes"
    elif suffix in _ARCHIVES:
        what, remedy = (
            "an archive",
            "unpack it and give the folder, or the table or .npz file in it",
        )
    elif suffix in _ARRAYS:
        what = f"a {suffix} file, which is not read"
        remedy = "save images and labels together, np.savez('data.npz', images=…, labels=…)"
    else:
        return
    raise InputError(
        f"'{path}' is {what}",
        rule=_SOURCES,
        remedy=remedy,
    )


def _data_suffixes() -> frozenset[str]:
    """Endings of files that are data, not study files."""
    from synthlift.data.sources import readers

    return frozenset(suffix for reader in readers() for suffix in reader.suffixes)


def _asked(study: Study) -> Asked:
    return Asked(study=study, out=Path("runs", study.name).absolute())


def _bare(source: str, name: str, changes: list[str]) -> Study:
    content = {"name": study_name(name), "data": {"source": source}, "budget": FOLDER_BUDGET}
    return load_study(content, changes)


def _named(source: str, changes: list[str]) -> Study:
    """A study of ``scheme:name``; a local ``hf:PATH`` is made absolute, as other paths are."""
    scheme, _, name = source.partition(":")
    title, mark, options = name.partition("?")
    path = Path(title).expanduser()
    if scheme == "hf" and path.exists():
        path = path.resolve()
        return _bare(f"{scheme}:{path}{mark}{options}", _title(path), changes)
    return _bare(source, name, changes)


def _title(path: Path) -> str:
    """What to call data that lie there: a folder called ``images`` as the one that it lies in."""
    path = path.resolve()
    name = path.name if path.is_dir() else path.stem
    return path.parent.name or name if name.casefold() in _ANYBODYS else name


def study_name(text: str) -> str:
    """The nearest name that a study may have."""
    cleaned = re.sub(r"[^A-Za-z0-9 ._-]+", "-", text).strip(" ._-")[:80]
    return cleaned or "study"


def _from_mapping(content: Mapping[str, Any], changes: list[str]) -> Asked:
    """A mapping with or without the part ``run:`` that a run folder's file has."""
    keys = dict(content)
    facts = dict(keys.pop("run", None) or {})
    study = load_study(keys, changes)
    store = Path(facts["store"]) if facts.get("store") else None
    # Recorded decisions belong to the study as it was; a changed one decides again.
    preset = facts.get("decisions") if not changes else None
    base = Path(facts["base"]) if facts.get("base") else Path.cwd()
    key = str(facts.get("key") or "")
    return replace(_asked(study), store=store, preset=preset, preset_key=key, base=base)


def _resolved(path: Path) -> dict[str, Any] | None:
    """The content of a resolved study file; None for anything else."""
    import yaml

    try:
        # Written by PyYAML, so read by it: both then agree on what is text.
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and isinstance(content.get("run"), dict) else None
