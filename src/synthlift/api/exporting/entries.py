"""What is exported: one entry an image, with what is known of it, and its bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from synthlift.api.exporting.headers import without_headers
from synthlift.api.images import Pixels
from synthlift.api.naming import fitting, free_name
from synthlift.api.run_folder import Run
from synthlift.api.training_sets import ArmImage, arm_images
from synthlift.errors import InputError
from synthlift.seeds import seed_for
from synthlift.spec.arms import Arm
from synthlift.spec.provenance import ORIGIN, SYNTHETIC, facts_of, png_bytes
from synthlift.spec.targets import Cell
from synthlift.study.sharing import fit_seed

TRAIN, VALIDATION = "train", "validation"
AT_TRAINING_SIZE, DECODED = "at training size", "decoded"
Kind = Literal["original", "decoded", "at training size", "generated", "as drawn"]


@dataclass(frozen=True)
class Entry:
    """One image of an export.

    Attributes:
        image: which one.
        split: train or validation.
        attributes: by name, "" where one is missing; of a synthetic image, what was asked for.
        facts: of a synthetic image, as in :func:`~synthlift.spec.provenance.facts_of`.
    """

    image: ArmImage
    split: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether it was generated."""
        return self.image.origin == "synthetic"


@dataclass(frozen=True)
class File:
    """An image as it is written.

    Attributes:
        data: the bytes of the file.
        suffix: what its name ends in, such as ``.png``; "" to keep the name's own.
        kind: original = the source's own pixels, in its own format; decoded = the same as 8-bit
            PNG, since the header told more than pixels; at training size; generated = at training
            size, too; as drawn = generated, and larger than models saw it.
        generated: whether an image of the source says that it was generated in an earlier run.
    """

    data: bytes
    suffix: str
    kind: Kind
    generated: bool = False


def entries_of(
    run: Run,
    arm: Arm,
    pixels: Pixels,
    *,
    replicate: int,
    parts: Sequence[str],
    real: bool,
    by_hand: bool = False,
) -> list[Entry]:
    """Every image of some parts, real ones before synthetic ones; test images are never there."""
    seeds = FitSeeds(run)
    attributes = pixels.attributes if real else {}
    images = [
        (part, image)
        for part in parts
        for image in arm_images(run, arm, part=part, replicate=replicate, by_hand=by_hand)
        if real or image.origin == "synthetic"
    ]
    pixels.sample_again([image for _, image in images])
    return [
        Entry(
            image,
            split=part,
            attributes=attributes.get(image.id, dict(image.attributes)),
            facts=seeds.facts(image, shares=pixels.shares(image))
            if image.origin == "synthetic"
            else {},
        )
        for part, image in images
    ]


class FitSeeds:
    """Seeds of fits and images, as the study derived them."""

    def __init__(self, run: Run) -> None:
        self._study = run.study
        self._label = {name: k for k, name in enumerate(run.results.study.classes)}
        self._kind = {component.title: component.kind for component in run.study.generators}
        self._shared = {one.name for one in run.results.generators if one.one_pool}

    def facts(self, image: ArmImage, *, shares: Mapping[str, float]) -> dict[str, str]:
        """What a generated image's PNG says of itself; ``shares`` as :meth:`Pixels.shares`."""
        cell = Cell(self._label[image.label], image.attributes)
        shared = image.generator in self._shared
        own = fit_seed(self._study.seed, image.generator, image.fit, shared=shared)
        return facts_of(
            generator=image.generator,
            kind=self._kind[image.generator],
            label=image.label,
            seed=seed_for(own, "train", *cell.seed_parts, image.index),
            index=image.index,
            fit=image.fit + 1,
            fit_seed=own,
            attributes=dict(image.attributes),
            made_from=image.made_from,
            prompt=image.prompt,
            shares=shares,
        )


# ── names ─────────────────────────────────────────────────────────────────────────────────────


class Names:
    """File names by class, unique even where capitals do not count."""

    def __init__(self) -> None:
        self._used: dict[str, set[str]] = {}

    def take(self, entry: Entry, suffix: str) -> str:
        """The next name; a suffix that is not "" replaces the one of the source's file."""
        used = self._used.setdefault(entry.image.label, set())
        name = free_name(_name(entry.image, suffix), used)
        used.add(name.casefold())
        return name


def _name(image: ArmImage, suffix: str) -> str:
    if image.origin == "synthetic":
        return fitting(f"synthetic_{image.generator}_fit{image.fit + 1}_{image.index:05d}{suffix}")
    # Files may lie deeper inside a class; "__" keeps equal names of different folders apart.
    parts = [part for part in PurePosixPath(image.id).parts if part.strip("/") not in ("", "..")]
    inner = parts[1:] if len(parts) > 1 and parts[0] == image.label else parts
    name = "__".join(inner).replace("\\", "_").lstrip(".") or "image"
    return fitting(str(PurePosixPath(name).with_suffix(suffix)) if suffix else name)


# ── bytes ─────────────────────────────────────────────────────────────────────────────────────


def files_of(entries: Sequence[Entry], pixels: Pixels) -> Iterator[File]:
    """The file of each entry in turn; one is held in memory at a time."""
    for entry in entries:
        if entry.synthetic:
            whole = pixels.drawn(entry.image)
            shown = pixels.synthetic(entry.image) if whole is None else whole
            kind: Kind = "generated" if whole is None else "as drawn"
            yield File(png_bytes(shown, facts=entry.facts), ".png", kind)
        else:
            yield _real(entry.image, pixels)


def _real(image: ArmImage, pixels: Pixels) -> File:
    from synthlift.data.decode import GENERATED

    try:
        decoded = pixels.original(image)
    except InputError:
        # Raises when the store has none either.
        return File(png_bytes(pixels.training(image)), ".png", "at training size")
    generated = GENERATED in decoded.conversions
    said = {ORIGIN: SYNTHETIC} if generated else None
    file = pixels.original_file(image)
    if file is None:
        return File(png_bytes(decoded.pixels, facts=said), ".png", "original", generated)
    cleaned = _cleaned(file.read_bytes(), file.name, image, pixels)
    if cleaned is not None:
        return File(cleaned, "", "original", generated)
    return File(png_bytes(decoded.pixels, facts=said), ".png", "decoded", generated)


def _cleaned(data: bytes, name: str, image: ArmImage, pixels: Pixels) -> bytes | None:
    """The file without its header's words; None where a plain PNG must stand for it."""
    from synthlift.data.decode import UnusableImageError, decode_stream, without_pillow_warnings
    from synthlift.data.formats import format_of
    from synthlift.data.integrity import pixel_hash

    if format_of(io.BytesIO(data), name) is not None:  # DICOM: a patient's record with a picture
        return None
    cleaned = without_headers(data)
    if cleaned is None or cleaned == data:
        return cleaned
    limit = pixels.run.study.data.max_pixels
    try:
        with without_pillow_warnings():
            again = decode_stream(io.BytesIO(cleaned), name=name, max_pixels=limit)
    except UnusableImageError:
        return None
    # 16-bit pictures are scaled as a whole; PNG chunks of theirs hold no pixels that could change.
    same = bool(again.peak) or pixel_hash(again.pixels) == image.sha256
    return cleaned if same else None
