"""The part ``data:`` of a study file: the images, what is known of them, how they are split."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Derived = Literal["brightness", "sharpness", "background", "skin_tone", "size"]


class Section(BaseModel):
    """Base of every part of a study file: unknown keys are refused, values are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LongTail(Section):
    """Class k of K (sorted by name) keeps largest · (smallest/largest)^(k/(K−1)) groups.

    Attributes:
        largest: training groups of the first class; None = as many as every class can give.
        smallest: training groups of the last class.
        ratio: largest / smallest, instead of ``smallest``.
    """

    largest: int | None = Field(default=None, ge=1)
    smallest: int | None = Field(default=None, ge=1)
    ratio: float | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_way(self) -> LongTail:
        if (self.smallest is None) == (self.ratio is None):
            raise ValueError("give either 'smallest' or 'ratio' (and 'largest' where it is known)")
        return self


class Split(Section):
    """How train, validation and test are separated.

    Attributes:
        design: auto follows METHOD §2; fixed = A, redrawn = B, cross_validated = C.
        test: share of groups in the locked test set (A and B).
        validation: share of the remaining groups kept for validation.
        folds, repeats: design C: folds, and how often everything is folded anew.
        draws: training sets drawn in design B.
        long_tail, per_class, fraction, labels_per_class: how each draw of design B is subsampled
            from the pool: to a long tail, to so many groups a class, to a share of each class,
            or to so many labelled groups a class while the rest become the unlabelled pool.
        stratify: attributes whose values are spread evenly over the parts, besides the class.
        given: honour the parts that the data bring (folders train, val and test; a column; parts
            in an .npz file), or ignore them and split anew.
        file: a published split to follow: a table of ``id`` and ``part`` (and ``draw``).
        test_where: the test set is where an attribute has one of these values, such as
            ``{domain: [sketch]}``; everything else is trained on.
        leave_one_out: cross-validation that leaves one value out at a time: ``group``, or the
            name of an attribute.
    """

    design: Literal["auto", "fixed", "redrawn", "cross_validated"] = "auto"
    test: float = Field(default=0.2, gt=0, lt=1)
    validation: float = Field(default=0.1, gt=0, lt=1)
    folds: int = Field(default=5, ge=2)
    repeats: int = Field(default=2, ge=1)
    draws: int = Field(default=5, ge=2)
    long_tail: LongTail | None = None
    per_class: int | None = Field(default=None, ge=1)
    fraction: float | None = Field(default=None, gt=0, le=1)
    labels_per_class: int | None = Field(default=None, ge=1)
    stratify: tuple[str, ...] = ()
    given: Literal["honour", "ignore"] = "honour"
    file: str | None = None
    test_where: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    leave_one_out: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Split:
        ways = {
            "long_tail": self.long_tail,
            "per_class": self.per_class,
            "fraction": self.fraction,
            "labels_per_class": self.labels_per_class,
        }
        asked = [name for name, value in ways.items() if value is not None]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)} exclude each other; keep one of them")
        parts = {
            "file": self.file,
            "test_where": self.test_where or None,
            "leave_one_out": self.leave_one_out,
        }
        asked = [name for name, value in parts.items() if value is not None]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)} exclude each other; keep one of them")
        return self


EVALUATED = ("test", "validation", "synthetic")
"""Evaluation sets of the study itself, as a table of predictions calls them."""


class Beside(Section):
    """Images beside the data set: a test set from elsewhere.

    Attributes:
        name: what it is called in the report; not test, validation or synthetic, which are the
            study's own.
        source, metadata, label, group: as under ``data``.
        classes: their class name → ours, "" to leave a class out; names that are equal need no
            entry.
    """

    name: str = Field(min_length=1)
    source: str
    metadata: str | None = None
    label: str | None = None
    group: str | None = None
    classes: dict[str, str] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _not_our_own(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("an external test set needs a name that can be read")
        if _alike(value) in EVALUATED:
            raise ValueError(
                f"'{value}' is what the study's own images are called; give the external set "
                "another name, such as that of its place"
            )
        return value


def _alike(name: str) -> str:
    """A name without what people do not tell names apart by."""
    return " ".join(name.casefold().split())


class Pool(Section):
    """Further images that a generator is made of or that are imported as its images.

    Attributes:
        source, metadata, label, attributes: as under ``data``.
        classes: their class name → ours, "" to leave a class out; names that are equal need no
            entry.
    """

    source: str
    metadata: str | None = None
    label: str | None = None
    attributes: tuple[str, ...] = ()
    classes: dict[str, str] = Field(default_factory=dict)


class Data(Section):
    """Where the images are and how they are read.

    Attributes:
        source: a folder with one sub-folder a class, a table of paths (CSV, TSV, parquet, XLSX),
            an ``.npz`` file, ``torchvision:NAME?root=FOLDER`` (``&download=yes`` allows a
            download), ``hf:PATH_OR_NAME``, ``sklearn:digits`` or
            ``embedded:leaves``.
        metadata: a table that is joined to the images by path, name or stem.
        label: column with the class; None = the sub-folder, or a column called label or class.
        group: column with what must not be torn apart (patient, lesion); ``stem`` = images whose
            names are equal up to the last ``_`` or ``-``; None = each image alone.
        attributes: columns that are kept for subgroup results and stratified splits.
        bins: numeric attribute → number of bins of equal size, or the inner borders.
        near_duplicates: images that show the same picture join one group, or are ignored; sought
            from 16 pixels a side on.
        derived: attributes read off the pixels: brightness, sharpness, background, skin_tone, size.
        masks: folder with a mask for each image (same relative path, any ending, or ``_mask``
            before it), or a column of the table.
        external: test sets from elsewhere; looked at only when the test is opened.
        unlabelled: folders (or other sources) of images without a class, for generators and
            regimes that learn from such; what shows a picture of the data set is left out.
        names: class name → words for people.
        split: how train, validation and test are separated.
        image_size: training size in pixels (square); auto chooses and states it.
        fit: how an image becomes square: pad, crop or stretch.
        channels: auto = grey when every image is grey.
        max_pixels: larger images are skipped and listed (a guard against bombs).
        terms: what the source allows, such as CC BY-NC 4.0; for the data card of an export.
        redistribute: whether the source may be passed on; an export of what must not be has to
            be confirmed.
    """

    source: str = "sklearn:digits"
    metadata: str | None = None
    label: str | None = None
    group: str | None = None
    attributes: tuple[str, ...] = ()
    bins: dict[str, int | tuple[float, ...]] = Field(default_factory=dict)
    near_duplicates: Literal["join", "ignore"] = "join"
    derived: tuple[Derived, ...] = ()
    masks: str | None = None
    external: tuple[Beside, ...] = ()
    unlabelled: tuple[str, ...] = ()
    names: dict[str, str] = Field(default_factory=dict)
    split: Split = Split()
    image_size: int | Literal["auto"] = "auto"
    fit: Literal["pad", "crop", "stretch"] = "pad"
    channels: Literal["auto", "grey", "rgb"] = "auto"
    max_pixels: int = Field(default=50_000_000, ge=1)
    terms: str | None = None
    redistribute: Literal["yes", "no", "unknown"] = "unknown"

    @field_validator("image_size")
    @classmethod
    def _size(cls, value: int | str) -> int | str:
        if isinstance(value, int) and not 8 <= value <= 1024:
            raise ValueError("image_size must lie between 8 and 1024 pixels")
        return value

    @field_validator("unlabelled", mode="before")
    @classmethod
    def _one_pool(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("external")
    @classmethod
    def _told_apart(cls, value: tuple[Beside, ...]) -> tuple[Beside, ...]:
        names = [_alike(one.name) for one in value]
        for one in value:
            if names.count(_alike(one.name)) > 1:
                raise ValueError(
                    f"the name '{one.name}' is given twice; give each external set its own"
                )
        return value

    @field_validator("bins")
    @classmethod
    def _bins(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, given in value.items():
            if isinstance(given, int):
                if not 2 <= given <= 100:
                    raise ValueError(f"'{name}' asks for {given} bins; 2 to 100 are possible")
            elif list(given) != sorted(set(given)) or not given:
                raise ValueError(f"the borders of '{name}' must rise: {list(given)}")
        return value
