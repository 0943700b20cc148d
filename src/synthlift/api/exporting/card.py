"""The data card of an export: what the images are, how they were made, what is known of them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthlift.api.exporting.entries import Entry
from synthlift.api.exporting.formats import Format, Written, features_of
from synthlift.api.exporting.guards import copying_finding, gate_message
from synthlift.api.pretrained import licence_behind
from synthlift.api.run_folder import Run
from synthlift.api.training_sets import verdicts
from synthlift.spec.arms import Arm
from synthlift.spec.facts import GeneratorResult
from synthlift.spec.people import in_force
from synthlift.spec.places import plain, without_places
from synthlift.spec.provenance import SHARES
from synthlift.study.sharing import fit_seed

CARD, HUB_CARD = "DATA_CARD.md", "README.md"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))


@dataclass(frozen=True)
class Told:
    """What a card speaks of.

    Attributes:
        run, arm, fit: whose images, and which fit of the generator, from 0.
        replicate: which repetition.
        form: format of the export.
        entries: every image in it.
        written: what became of them.
        synthetic_only, accept_copies, accept_terms, by_hand: as the user asked.
        mixed_classes: whether models trained on class probabilities of synthetic images.
    """

    run: Run
    arm: Arm
    fit: int
    replicate: int
    form: Format
    entries: Sequence[Entry]
    written: Written
    synthetic_only: bool
    accept_copies: bool
    accept_terms: bool
    by_hand: bool
    mixed_classes: bool = False


def data_card(told: Told) -> str:
    """The card in Markdown; it names no place of the machine that made it."""
    arm = as_markdown(told.arm.name)
    sections = {
        f"{told.run.results.study.name}: training images of arm '{arm}'": _what(told),
        "Images": _counts(told),
        "How it was made": _made(told),
        "Curation": _curation(told),
        "Copying": _copying(told),
        "Terms": _terms(told),
        "Provenance of each image": _provenance(told),
        "Made with": _versions(told),
    }
    return "\n".join(
        f"{'##' if number else '#'} {title}\n\n{content}\n"
        for number, (title, content) in enumerate(sections.items())
    )


def hub_card(told: Told) -> str:
    """The same with the header that the Hugging Face Hub reads."""
    import yaml

    header = yaml.safe_dump(_header(told), sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{header}---\n\n{data_card(told)}"


# ── sections ──────────────────────────────────────────────────────────────────────────────────


def _what(told: Told) -> str:
    study = told.run.results.study
    real = [entry for entry in told.entries if not entry.synthetic]
    synthetic = len(told.entries) - len(real)
    mixed = "synthetic" if not real else "real and synthetic" if synthetic else "real"
    return (
        f"Images for training an image classifier with {len(study.classes)} classes: {mixed}. "
        f"They are what replicate {told.replicate + 1} of the arm '{as_markdown(told.arm.name)}' "
        f"of the study '{without_places(study.name)}' was trained on, as exported by Synthlift. "
        "Images of the test set are not among them. Synthetic images show nothing that exists: use "
        "them for training, not as evidence of what the classes look like, and never as a test set."
    )


def _counts(told: Told) -> str:
    columns = {
        "real, train": ("train", False),
        "synthetic, train": ("train", True),
        "real, validation": ("validation", False),
    }
    cells = {
        title: [
            sum(
                entry.split == split and entry.synthetic == synthetic and entry.image.label == name
                for entry in told.entries
            )
            for name in told.run.results.study.classes
        ]
        for title, (split, synthetic) in columns.items()
    }
    shown = {title: found for title, found in cells.items() if any(found)}
    rows = [
        (as_markdown(_display(told, name)), *(f"{found[k]:,}" for found in shown.values()))
        for k, name in enumerate(told.run.results.study.classes)
    ]
    total = ("**all**", *(f"{sum(found):,}" for found in shown.values()))
    text = _table(("class", *shown), [*rows, total])
    kinds = told.written.kinds
    notes = []
    if kinds.get("at training size"):
        notes.append(
            f"{kinds['at training size']:,} real images are at training size: their originals "
            "were gone or changed."
        )
    if kinds.get("as drawn"):
        notes.append(
            f"{kinds['as drawn']:,} synthetic images are as their generator drew them; the study's "
            f"models saw them at {told.run.results.study.image_size} pixels."
        )
    if kinds.get("decoded"):
        notes.append(
            f"{kinds['decoded']:,} real images were written as 8-bit PNG, since the headers of "
            "their files (DICOM, TIFF tags) could not be taken off otherwise."
        )
    if told.written.generated:
        notes.append(
            f"**{told.written.generated:,} images counted as real say that they were generated** "
            "in an earlier run; their `origin` is synthetic."
        )
    if any(not entry.synthetic for entry in told.entries):
        notes.append(
            "Headers of real images (EXIF, comments, place and date) were removed. Their file "
            "names, identifiers and groups are those of the source."
        )
    return "\n\n".join([text, *notes])


def _made(told: Told) -> str:
    study, arm = told.run.study, told.arm
    facts = told.run.results.study
    lines = [
        f"- source: {_source(study.data.source)}",
        f"- study: seed {study.seed}, design {facts.design}, image size {facts.image_size} pixels",
        f"- study key: `{facts.key}`",
    ]
    if command := without_places(facts.command):
        lines.append(f"- command of the study: {as_code(command)}")
    lines.append(f"- command of this export: {as_code(_command(told))}")
    if arm.uses_synthetic:
        found = _generator(told)
        kind = next(c.kind for c in study.generators if c.title == arm.generator)
        config = plain(found.config) if found else {}
        settings = ", ".join(
            as_markdown(f"{key} = {value}") for key, value in sorted(config.items())
        )
        shared = found is not None and found.one_pool
        seed = fit_seed(study.seed, str(arm.generator), told.fit, shared=shared)
        target = as_markdown(arm.target.title)
        lines += [
            f"- generator: '{arm.generator}', kind {kind}, "
            + ("which learns nothing" if shared else "fitted to the study's training images"),
            f"- its settings: {settings or 'none'}",
            f"- fit: {told.fit + 1} of {found.fits if found else 1}, seed {seed}",
            "- seed of each image: derived from that, its class and its index; written with it",
            f"- multiple: {arm.multiple:g} × the real images, target {target}",
        ]
        if told.mixed_classes:
            lines.append(
                "- labels: **images lie between classes**; the study's models trained on "
                f"probabilities of both, which `{SHARES}` holds; a study that takes this export "
                "as a `pool` trains on them again. `label` is the class that was asked for: "
                "models trained on it alone are not those of the study"
            )
    return "\n".join(lines)


def _curation(told: Told) -> str:
    if not told.arm.uses_synthetic:
        return "This arm has no synthetic images."
    table = verdicts(told.run)
    table = table[(table["generator"] == told.arm.generator) & (table["fit"] == told.fit)]
    kept = int(table["kept"].sum())
    reasons = table[~table["kept"]]["rejected_by"].value_counts()
    rows = [("generated", f"{len(table):,}"), ("kept", f"{kept:,}")]
    rows += [
        (f"rejected: {as_markdown(str(name).replace('_', ' '))}", f"{count:,}")
        for name, count in sorted(reasons.items(), key=lambda item: (-item[1], str(item[0])))
    ]
    used = sum(entry.synthetic for entry in told.entries)
    rows.append(("in this export", f"{used:,}"))
    text = _table((f"images of fit {told.fit + 1}", "number"), rows)
    if not told.arm.curated:
        text += "\n\nThis arm takes images uncurated: rejected ones are among them."
    return text + _by_hand(told)


def _by_hand(told: Told) -> str:
    """Who judged images by hand, and that no figure of the study knows of it."""
    said = [one for one in in_force(told.run.path).values() if told.by_hand]
    if not said:
        return ""
    kept = sum(one.verdict == "keep" for one in said)
    people = ", ".join(sorted({as_markdown(one.who) for one in said}))
    return (
        f"\n\nVerdicts by hand of {people} were let count (`--by-hand`): over the whole run "
        f"{len(said) - kept:,} images rejected and {kept:,} put back. They were given after the "
        "study: its figures are those of the images as the filters left them."
    )


def _copying(told: Told) -> str:
    if not told.arm.uses_synthetic:
        return "This arm has no synthetic images."
    results, generator = told.run.results, str(told.arm.generator)
    found, lines = _generator(told), []
    if found is not None and found.copying_ratio is not None:
        ratio = found.copying_ratio
        span = f" ({ratio.low:.2f} to {ratio.high:.2f})" if ratio.low and ratio.high else ""
        controls = ", ".join(f"{k} {v:.2f}" for k, v in found.copying_controls.items())
        lines.append(
            f"Copying ratio: {ratio.value:.2f}{span}, {ratio.method}. It is the median distance of "
            "generated images to the nearest training image, over the same of held-out real "
            "images; below 1 is too close."
            + (f" The same for held-out images: {controls}." if controls else "")
        )
    else:
        lines.append("The copying ratio was not measured.")
    finding = copying_finding(results, generator)
    said = gate_message(results, generator)
    if finding:
        lines.append(f"**The copying gate failed**: {finding}. Exported with `--accept-copies`.")
    else:
        lines.append("The copying gate passed" + (f": {said}." if said else "."))
    return "\n\n".join(lines)


def _terms(told: Told) -> str:
    data = told.run.study.data
    may = {
        "yes": "Redistribution: allowed by the source.",
        "no": "Redistribution: **not allowed by the source**; exported with `--accept-terms`.",
        "unknown": "Redistribution: unknown. Ask before you pass this on.",
    }[data.redistribute]
    return (
        f"Terms of the source, as stated by the user: {data.terms or 'not stated'}.\n\n{may} "
        "Synthetic images derive from the source's images, and may fall under the same terms."
        + _pool_terms(told)
    )


def _pool_terms(told: Told) -> str:
    """Terms of imported pools and licences of pretrained models, as far as they are stated."""
    said = [
        f"\n\nTerms of '{g.title}', as stated by the user: {g.settings()['terms']}."
        for g in told.run.study.generators
        if g.settings().get("terms")
    ]
    said += [
        f"\n\nLicence of the model behind '{g.name}', as it states it: {licence}. It may bind the "
        "images, too."
        for g in told.run.results.generators
        if (licence := licence_behind(g.config))
    ]
    return "".join(said)


def _provenance(told: Told) -> str:
    where = {
        "imagefolder": "`provenance.csv` has a line for each file; `splits.csv` names the parts of "
        "the study",
        "csv": "`metadata.csv` has a line for each file",
        "parquet": "The columns beside the image say where each row comes from",
        "hf": "The columns beside the image say where each row comes from",
    }[told.form]
    return (
        f"{where}. `origin` is real or synthetic. Each synthetic PNG says so itself, in text "
        "chunks that begin with `synthlift:` (origin, generator, class, seed, fit, index, version, "
        f"and {SHARES} where it lies between classes)."
    )


def _versions(told: Told) -> str:
    versions: Mapping[str, Any] = told.run.results.environment.get("versions", {})
    return "\n".join(f"- {name} {version}" for name, version in versions.items()) or "- unknown"


# ── the Hub's header ──────────────────────────────────────────────────────────────────────────


def _header(told: Told) -> dict[str, Any]:
    written, classes = told.written, told.run.results.study.classes
    attributes = dict.fromkeys(name for entry in told.entries for name in entry.attributes)
    features = features_of(list(attributes), classes=classes)
    sizes = {split: path.stat().st_size for split, path in written.files.items()}
    total = sum(written.rows.values())
    terms = told.run.study.data.terms
    return {
        "pretty_name": f"{told.run.results.study.name}: {told.arm.name}",
        **({"license": "other", "license_name": terms} if terms else {}),
        "task_categories": ["image-classification"],
        "size_categories": [next((word for n, word in _SIZES if total < n), "n>1M")],
        "tags": ["synthlift", *(["synthetic"] if any(e.synthetic for e in told.entries) else [])],
        "dataset_info": {
            "features": [_feature(name, feature) for name, feature in features.items()],
            "splits": [
                {"name": split, "num_bytes": written.bytes[split], "num_examples": count}
                for split, count in written.rows.items()
            ],
            "download_size": sum(sizes.values()),
            "dataset_size": sum(written.bytes.values()),
        },
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*"} for split in written.files
                ],
            }
        ],
    }


def _feature(name: str, feature: Mapping[str, Any]) -> dict[str, Any]:
    if feature["_type"] == "Image":
        return {"name": name, "dtype": "image"}
    if feature["_type"] == "ClassLabel":
        names = {str(k): one for k, one in enumerate(feature["names"])}
        return {"name": name, "dtype": {"class_label": {"names": names}}}
    return {"name": name, "dtype": feature["dtype"]}


# ── words ─────────────────────────────────────────────────────────────────────────────────────


def _command(told: Told) -> str:
    words = ["synthlift", "export", told.run.path.name, "--arm", told.arm.name]
    words += ["--format", told.form] if told.form != "imagefolder" else []
    words += ["--replicate", str(told.replicate)] if told.replicate else []
    flags = {
        "--synthetic-only": told.synthetic_only,
        "--accept-copies": told.accept_copies,
        "--accept-terms": told.accept_terms,
        "--by-hand": told.by_hand,
    }
    return shlex.join([*words, *(flag for flag, given in flags.items() if given)])


def _source(source: str) -> str:
    """A scheme and a name as they are; of a path its last part."""
    named = re.fullmatch(r"(sklearn|torchvision):\S+|hf:[\w.-]+/[\w.-]+(\?\S*)?", source)
    last = [part for part in re.split(r"[/\\]+", source.partition("?")[0]) if part]
    return f"`{source}`" if named else f"`{last[-1].rpartition(':')[2]}`" if last else "unnamed"


def _generator(told: Told) -> GeneratorResult | None:
    return next((g for g in told.run.results.generators if g.name == told.arm.generator), None)


def _display(told: Told, name: str) -> str:
    words = told.run.results.study.class_names.get(name)
    return f"{name} ({words})" if words else name


def as_markdown(text: str) -> str:
    """Text of a user's own as Markdown shows it: no tag, no link, no code, no cell of a table."""
    return re.sub(r"([\\`<\[|&*])", r"\\\1", " ".join(text.split()))


def as_code(text: str) -> str:
    """The same as code, which backticks in it do not end."""
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (max(map(len, re.findall("`+", text))) + 1)
    return f"{fence} {text} {fence}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
