"""The report without anything that leads back to an image, a person or a machine.

What leaves: real and rejected images, copy pairs, commands, paths, notes on the source. What is
hashed with the run's own key: ids, groups, file names, digests of data, and values of attributes
that look like identifiers. Names of classes, attributes and arms stay: they are what a report is
about.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from markupsafe import escape

from synthlift.errors import SynthliftError
from synthlift.reporting.html import render
from synthlift.spec.facts import StudyFacts
from synthlift.spec.places import without_places
from synthlift.spec.results import Results

NAME = "report-shareable.html"
HIDDEN = "left out of this copy"
ORDINARY = frozenset(
    (
        *("data", "dataset", "datasets", "images", "image", "photos", "pictures", "runs", "train"),
        *("test", "val", "validation", "pool", "home", "labels", "classes", "training", "real"),
        *("synthetic", "mixed", "users", "user", "root", "work", "tmp", "mnt", "media", "private"),
    )
)
"""Names of folders that tell nothing, and that sentences of a report contain."""
_SHORT = 4
_FILE = re.compile(
    r"[^\s'\"<>|,;:()\[\]]+\.(?:a?png|jpe?g|jfif|tiff?|bmp|gif|webp|dcm|pgm|ppm|jp2|csv|tsv|xlsx|"
    r"parquet|np[yz]|pth?|ckpt|safetensors|ya?ml|json|py|zip|h5)\b",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"\b[0-9a-f]{16,}\b")
_IDENTIFIERS = (
    re.compile(r"\S@\S"),
    re.compile(r"(?<![\d.])\d{5,}"),
    re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}"),  # dates
    re.compile(r"[0-9a-fA-F]{8}-?[0-9a-fA-F]{4,}"),
    re.compile(r"[/\\]"),
    _FILE,
)
_CODE = re.compile(r"[A-Za-z]\w*[-_]?\d{2,}|[A-Za-z] ?0\d+|\d{2,}[-_]?[A-Za-z]")
_UNIT = re.compile(
    r"\d+ ?(?:px|pixels?|mm|cm|years?|y|yrs|months?|days?|kg|bit|k|M|D)|"
    r"below [\d.-]+|[\d.-]+ (?:to [\d.-]+|or more)",  # a bin of numbers
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Secrets:
    """What a shareable report must not say.

    Attributes:
        key: of the run; the same key hashes alike.
        names: ids, groups, file and folder names, paths.
        showable: generators whose kept images may be shown, since they passed the copying gate.
        values: number of groups that have a value, by attribute and value.
    """

    key: bytes
    names: Collection[str]
    showable: Collection[str]
    values: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def token(self, text: str) -> str:
        """A short stand-in for a name (HMAC-SHA256, 40 bits)."""
        return "id-" + hmac.new(self.key, text.encode(), hashlib.sha256).hexdigest()[:10]


def render_shareable(results: Results, *, folder: Path | None, secrets: Secrets) -> str:
    """The report as HTML that may be shown to anybody who may know the numbers.

    Raises:
        SynthliftError: a file name or path would still be in it; nothing should be shared then.
    """
    text = render(without_secrets(results, secrets), folder=folder, shareable=True)
    told = {name for name in secrets.names if _unmistakable(name)} - _vocabulary(results)
    words = re.sub(r"data:image/[^\"]+", "", text)
    left = sorted(name for name in told if name in words or str(escape(name)) in words)
    if left:
        raise SynthliftError(
            f"the shareable report would still hold {len(left)} file names or paths, such as "
            f"'{left[0]}'; it was not written. Please report this"
        )
    return text


def looks_like_identifier(value: str) -> bool:
    """Whether a value may stand for one person, object or file rather than for a property.

    Addresses, dates, long numbers, paths, file names, and letters with two digits or more
    (``P012``, ``pat-17``); numbers with a unit are none.
    """
    if _UNIT.fullmatch(value):
        return False
    return any(sign.search(value) for sign in _IDENTIFIERS) or bool(_CODE.search(value))


def without_secrets(results: Results, secrets: Secrets) -> Results:
    """The results as a shareable report shows them."""
    hidden = _hidden_values(results, secrets)
    scrub = _Scrub(results, secrets, further=[value for _, value in hidden])
    study, verdict = results.study, results.verdict

    def value_of(attribute: str, value: str) -> str:
        own = secrets.token(value) if (attribute, value) in hidden else value
        return _cell(own, hidden, secrets)

    changes: dict[str, Any] = {
        "study": _study(study, scrub, secrets),
        "verdict_missing_because": scrub.text(results.verdict_missing_because),
        "actions": [
            one.model_copy(
                update={
                    "title": scrub.text(one.title),
                    "text": scrub.text(one.text),
                    "command": "",
                }
            )
            for one in results.actions
        ],
        "subgroups": [
            one.model_copy(update={"value": value_of(one.attribute, one.value)})
            for one in results.subgroups
        ],
        "gaps": [
            one.model_copy(
                update={
                    key: value_of(one.attribute, getattr(one, key))
                    for key in ("worst_with_rival", "worst_with_generative")
                }
            )
            for one in results.gaps
        ],
        "external": [
            one.model_copy(update={"name": scrub.text(one.name)}) for one in results.external
        ],
        "counts": results.counts.model_copy(
            update={
                key: {_cell(name, hidden, secrets): n for name, n in found.items()}
                for key, found in (
                    ("per_cell", results.counts.per_cell),
                    ("fell_short", results.counts.fell_short),
                )
            }
        ),
        "generators": [
            one.model_copy(
                update={
                    "config": scrub.deep(one.config),
                    "warnings": [scrub.text(words) for words in one.warnings],
                }
            )
            for one in results.generators
        ],
        "gallery": [
            one
            for one in results.gallery
            if one.kind == "kept" and one.generator in set(secrets.showable)
        ],
        "decisions": [
            one.model_copy(
                update={"value": scrub.deep(one.value), "reason": scrub.text(one.reason)}
            )
            for one in results.decisions
        ],
        "limitations": [scrub.text(one) for one in results.limitations],
        "environment": scrub.deep(results.environment),
        "notes": [],
    }
    if verdict is not None:
        changes["verdict"] = verdict.model_copy(
            update={
                "sentence": scrub.text(verdict.sentence),
                "detail": scrub.text(verdict.detail),
                "scope": scrub.text(verdict.scope),
                "warnings": [scrub.text(one) for one in verdict.warnings],
                "exploratory_reasons": [scrub.text(one) for one in verdict.exploratory_reasons],
            }
        )
    if results.openings is not None:
        hashed = secrets.token(results.openings.test_hash)
        changes["openings"] = results.openings.model_copy(update={"test_hash": hashed})
    return results.model_copy(update=changes)


def _study(study: StudyFacts, scrub: _Scrub, secrets: Secrets) -> StudyFacts:
    # A study that was not named has the name of its folder.
    named_by_place = _plain(study.name) in {_plain(name) for name in secrets.names}
    return study.model_copy(
        update={
            "name": f"study {secrets.token(study.name)}" if named_by_place else study.name,
            "key": secrets.token(study.key),
            "command": "",
            "source": study.source if is_public(study.source) else HIDDEN,
            "classifier": scrub.text(study.classifier),
            "initialisation": scrub.text(study.initialisation),
        }
    )


def is_public(source: str) -> bool:
    """Whether a source is a data set that a package brings, whose names tell nothing."""
    return bool(re.fullmatch(r"(sklearn|torchvision):\w+", source))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")


def _hidden_values(results: Results, secrets: Secrets) -> set[tuple[str, str]]:
    """Values that must be hashed: names of the run, what looks like one, or one group's own."""
    names = set(secrets.names)
    found = {
        (one.attribute, one.value)
        for one in results.subgroups
        if one.test_groups <= 1 or one.value in names or looks_like_identifier(one.value)
    }
    found |= {
        pair
        for pair, groups in secrets.values.items()
        if groups <= 1 or pair[1] in names or looks_like_identifier(pair[1])
    }
    worst = [(g.attribute, v) for g in results.gaps for v in _worst(g)]
    return found | {(a, v) for a, v in worst if v in names or looks_like_identifier(v)}


def _cell(name: str, hidden: Collection[tuple[str, str]], secrets: Secrets) -> str:
    """The name of a cell, such as ``mel, sex female``, with the values that must be hashed."""
    for attribute, value in sorted(hidden, key=lambda pair: (-len(pair[1]), pair)):
        said = re.compile(rf"(?<=, ){re.escape(f'{attribute} {value}')}(?=, |$)")
        # A function, since a name such as "$\\mu$" would be read as a pattern.
        name = said.sub(partial(_instead, f"{attribute} {secrets.token(value)}"), name)
    return name


def _instead(text: str, _found: re.Match[str]) -> str:
    return text


def _worst(gap: Any) -> tuple[str, str]:
    return gap.worst_with_rival, gap.worst_with_generative


class _Scrub:
    """Replaces what is secret in words: whole names, names within sentences, files, paths."""

    def __init__(self, results: Results, secrets: Secrets, *, further: Iterable[str]) -> None:
        self._secrets = secrets
        kept = _vocabulary(results)
        self._names = {name for name in (*secrets.names, *further) if name and name not in kept}
        # Only names that occur anywhere become part of a pattern: there may be 100,000 of them.
        everything = "\n".join(_texts(results.model_dump(mode="json")))
        occurring = [name for name in self._names if _telling(name) and name in everything]
        longest = sorted(occurring, key=lambda name: (-len(name), name))
        pattern = "|".join(map(re.escape, longest))
        self._known = re.compile(rf"(?<!\w)(?:{pattern})(?!\w)") if longest else None

    def text(self, words: str) -> str:
        """One text."""
        if words in self._names:
            return self._secrets.token(words)
        if self._known is not None:
            words = self._known.sub(lambda found: self._secrets.token(found.group()), words)
        words = without_places(words)
        for pattern in (_FILE, _DIGEST):
            words = pattern.sub(lambda found: self._secrets.token(found.group()), words)
        return words

    def deep(self, value: Any) -> Any:
        """All texts in a JSON value, keys included."""
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.deep(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.deep(one) for one in value]
        return self.text(value) if isinstance(value, str) else value


def _texts(value: Any) -> Iterator[str]:
    """All texts in a JSON value, keys included."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield str(key)
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    elif isinstance(value, str):
        yield value


def _vocabulary(results: Results) -> set[str]:
    """Names that a report is about, which stay even where a folder or group is called the same."""
    return {
        *results.study.classes,
        *results.study.class_names.values(),
        *(arm.name for arm in results.arms),
        *(generator.name for generator in results.generators),
        *(generator.kind for generator in results.generators),
        *(one.attribute for one in results.subgroups),
    }


def _telling(name: str) -> bool:
    """Whether a name within a sentence is that name and no ordinary number or short word."""
    letters = any(character.isalpha() for character in name)
    digits = any(character.isdigit() for character in name)
    return letters and (digits or len(name) >= _SHORT)


def _unmistakable(name: str) -> bool:
    """Whether a name is a file or a path, which no other text of a report contains."""
    return len(name) > _SHORT and bool(re.search(r"[/\\]|\.[A-Za-z]\w{1,5}$", name))


def names_in(ids: Iterable[str], *, groups: Iterable[str]) -> set[str]:
    """All names that ids and groups are made of: each whole, its folders, its file, its stem."""
    found = {*ids, *groups}
    for name in list(found):
        path = PurePosixPath(name)
        found |= {*path.parts, path.stem}
    return {name for name in found - {"", "/"} if name.casefold() not in ORDINARY}
