"""The shareable report of a run: what must not be in it, and the key that it is hashed with."""

from __future__ import annotations

import os
import re
import secrets as random
from pathlib import Path

from synthlift.api.exporting.guards import copying_finding
from synthlift.api.run_folder import Run, load
from synthlift.api.training_sets import SPLITS, splits
from synthlift.errors import InputError
from synthlift.generators.translation.config import MASKS
from synthlift.spec.study import Study

KEY = "share.key"
_OF_A_SPLIT = ("draw", "id", "part", "label", "group", "sha256")
_KEY_BYTES = 32


def share_report(path: Path | str, *, out: Path | str | None = None) -> Path:
    """Write the report without real images, paths, names and ids; returns its path.

    Ids and groups are hashed with a random key that stays in the run folder, so that two reports
    of one run name the same thing alike and nobody else can tell what it is.

    Args:
        path: a finished run.
        out: the file; ``report-shareable.html`` in the run folder if left out.

    Raises:
        InputError: no finished run, or ``out`` is a folder.
    """
    from synthlift.reporting.shareable import NAME, Secrets, render_shareable
    from synthlift.store.files import write_bytes_atomic

    run = load(path)
    results = run.results
    target = Path(out).expanduser().absolute() if out is not None else run.path / NAME
    if target.is_dir():
        raise InputError(
            f"'{target}' is a folder",
            rule="a shareable report is one file",
            remedy=f"give --out {target / NAME}",
        )
    # Pictures that were made elsewhere may be anybody's, and pasted ones are real in great part.
    imported = {one.title for one in run.study.generators if one.settings().get("source")}
    told = Secrets(
        key=_key(run.path / KEY),
        names=_names(run),
        showable={
            one.name
            for one in results.generators
            if one.name not in imported
            and not one.pastes
            and one.copying_ratio is not None
            and not copying_finding(results, one.name)
        },
        values=_values(run),
    )
    text = render_shareable(results, folder=run.path, secrets=told)
    write_bytes_atomic(target, text.encode())
    return target


def _key(path: Path) -> bytes:
    """The run's key, made when there is none; nobody but its owner may read it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return bytes.fromhex(path.read_text(encoding="ascii"))
    made = random.token_bytes(_KEY_BYTES)
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        stream.write(made.hex())
    return made


def _names(run: Run) -> set[str]:
    """Everything in a run that names an image, a group, a file or a place."""
    from synthlift.reporting.shareable import is_public, names_in

    found: set[str] = set()
    if (run.path / SPLITS).is_file() and not is_public(run.study.data.source):
        table = splits(run)
        found |= names_in(table["id"].tolist(), groups=table["group"].tolist())
    base = str(run.facts.get("base") or "")
    places = [str(run.path), str(run.facts.get("store") or ""), base, str(Path.home())]
    for place in _places(run.study):
        local = place.rpartition(":")[2].partition("?")[0]
        whole = Path(base, Path(local).expanduser())
        places += [place, local, str(whole), str(whole.resolve())]
        found |= names_in([*whole.parts, *whole.resolve().parts], groups=())
    found |= {place for place in places if re.search(r"[/\\].", place)}
    return found - {""}


def _values(run: Run) -> dict[tuple[str, str], int]:
    """How many groups have each value of the attributes that arms aim at."""
    if not (run.path / SPLITS).is_file():
        return {}
    table = splits(run)
    names = [name for name in table.columns if name not in _OF_A_SPLIT]
    return {
        (name, str(value)): int(groups)
        for name in names
        for value, groups in table.groupby(name)["group"].nunique().items()
        if value
    }


def _places(study: Study) -> list[str]:
    """Whatever a study file says of where its data are, and further images."""
    from synthlift.reporting.shareable import is_public

    data, beside = study.data, study.data.external
    named = [data.source, data.metadata, data.masks, data.split.file, *data.unlabelled]
    named += [place for one in beside for place in (one.source, one.metadata)]
    for component in study.generators:
        settings = component.settings()
        # A translation's word for the masks beside the images is no place. What kind it is does not
        # matter: the file that defines it may be elsewhere by now.
        named += [place for place in [settings.get("source")] if place != MASKS]
        named += [settings.get("metadata"), settings.get("weights")]
    return [str(place) for place in named if place and not is_public(str(place))]
