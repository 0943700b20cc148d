"""What a reader gives: items that can be listed and loaded one at a time, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from synthlift.data.decode import WHITE_16_BIT, Decoded
from synthlift.registry import Descriptor
from synthlift.types import UInt8

UNLABELLED = ""
"""The label of an image without one."""

HUB = "hf:"
"""How a source begins that a reader of the Hub's formats opens; a path may follow."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Item:
    """One image before it is read.

    Attributes:
        id: unique in its source.
        label: class name; "" in a source of unlabelled images.
        group: the unit that never crosses a split.
        path: what :meth:`Source.load` takes; relative, so that a source may move.
        attributes: further facts by name; "" where one is missing.
        part: train, validation or test where the source brings a split, else "".
        mask: what :meth:`Source.load_mask` takes; "" where there is none.
    """

    id: str
    label: str
    group: str
    path: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    part: str = ""
    mask: str = ""


@dataclass(frozen=True)
class Where:
    """Everything that a reader is told; plain JSON, so that a worker process can open it again.

    Attributes:
        source: a path, or ``scheme:name``.
        base: folder that relative paths start from.
        metadata, label, group, attributes, masks, bins: as in the study file.
        labelled: whether every image must have a class.
        classes: class name in the source → class name that it stands for, "" = left out.
        one_class: whether images of a single class will do, as they do beside a data set.
        shares: whether generated images keep what they say of the classes between which they lie.
    """

    source: str
    base: str
    metadata: str | None = None
    label: str | None = None
    group: str | None = None
    attributes: tuple[str, ...] = ()
    masks: str | None = None
    labelled: bool = True
    bins: Mapping[str, int | tuple[float, ...]] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    one_class: bool = False
    shares: bool = False

    @property
    def path(self) -> Path:
        """The source as a path (it may be none)."""
        return Path(self.base) / Path(self.source).expanduser()

    @property
    def files(self) -> Path:
        """Where the files behind the source lie, ``hf:PATH`` included (it may be none)."""
        local = self.source.startswith(HUB)
        return self.beside(self.source.removeprefix(HUB).partition("?")[0]) if local else self.path

    def beside(self, text: str) -> Path:
        """A further path of the study file, made absolute."""
        return Path(self.base) / Path(text).expanduser()

    def as_json(self) -> dict[str, Any]:
        """For a stage's request; :meth:`from_json` reads it back."""
        bins = {k: v if isinstance(v, int) else list(v) for k, v in self.bins.items()}
        return {**asdict(self), "attributes": list(self.attributes), "bins": bins}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Where:
        """Read back what :meth:`as_json` gave."""
        bins = {k: v if isinstance(v, int) else tuple(v) for k, v in value["bins"].items()}
        return cls(**{**value, "attributes": tuple(value["attributes"]), "bins": bins})


class Source(Protocol):
    """Images that can be listed and loaded one at a time, from any thread.

    Attributes:
        where: what was asked for.
        fingerprint: changes whenever something in the source may have changed.
        ignored: files that are no images, counted by extension.
        notes: what was found out while opening, in words: delimiter, encoding, unmatched rows.
    """

    where: Where
    fingerprint: str
    ignored: Mapping[str, int]
    notes: Sequence[str]

    @property
    def items(self) -> Sequence[Item]:
        """All items, sorted by id."""
        ...

    def load(self, path: str, *, max_pixels: int, white: int = WHITE_16_BIT) -> Decoded:
        """Decode one item (``UnusableImageError`` where that cannot be done)."""
        ...

    def file(self, path: str) -> Path | None:
        """The file behind an item, where there is one that holds nothing else."""
        ...

    def load_mask(self, mask: str) -> UInt8:
        """A mask at its own size, uint8 [H, W], 0 = background (``UnusableImageError``)."""
        ...


class Reader(Protocol):
    """One kind of source, registered under the entry point group ``synthlift.readers``."""

    def open(self, where: Where) -> Source:
        """List the items; nothing is decoded yet.

        Raises:
            InputError: nothing there, not readable, or not laid out as this reader expects.
        """
        ...


@dataclass(frozen=True)
class ReaderDescriptor(Descriptor):
    """What is known of a reader without importing it.

    Attributes:
        schemes: the words before the colon that it answers to, such as ``hf``.
        suffixes: endings of files that it reads, such as ``.csv``.
        folders: whether it reads a plain folder.
    """

    schemes: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()
    folders: bool = False
