"""What images are asked for by, as indices: the class, then attribute values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from synthlift.errors import InputError, nearest_name
from synthlift.types import ImageSet, Int64, SampleRequest, Strings


@dataclass(frozen=True)
class Vocabulary:
    """Classes and attribute values that a generator was fitted on.

    Letters in shapes: N images, A attributes. A column's last index, one past its values, stands
    for "not said".

    Attributes:
        classes: class names in index order.
        counts: training images per class.
        attributes: values seen in training, sorted, by attribute; "" = missing, a value as any.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, train: ImageSet, names: Sequence[str] = ()) -> Vocabulary:
        """The vocabulary of a training set.

        Raises:
            InputError: no labelled image, or no attribute of one of the names.
        """
        counts = tuple(int(n) for n in train.counts())
        if not sum(counts):
            raise InputError(
                f"{len(train)} training images, none of them labelled",
                rule="a class-conditional generator needs labelled images",
                remedy="label some images, or check the split",
            )
        for name in names:
            if name not in train.attributes:
                raise InputError(
                    f"attribute '{name}'{nearest_name(name, train.attributes)}",
                    rule="a generator is conditioned on attributes of the images, which are: "
                    + (", ".join(train.attributes) or "none"),
                    remedy="name the column under data.attributes, or correct it",
                )
        values = {name: tuple(np.unique(train.attributes[name]).tolist()) for name in names}
        return cls(train.classes, counts, values)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of classes, then of values of each attribute; also the index of "not said"."""
        return (len(self.classes), *(len(values) for values in self.attributes.values()))

    def encode(self, labels: Int64, attributes: Mapping[str, Strings]) -> Int64:
        """Indices int64 [N, 1 + A]; what is unknown, or was never seen, is "not said"."""
        sizes = self.sizes
        columns = [np.where(labels < 0, sizes[0], labels)]
        for (name, values), size in zip(self.attributes.items(), sizes[1:], strict=True):
            index = {value: i for i, value in enumerate(values)}
            said = attributes[name].tolist() if name in attributes else ()
            known = np.array([index.get(value, size) for value in said], np.int64)
            columns.append(known if name in attributes else np.full(len(labels), size))
        return np.stack(columns, axis=1).astype(np.int64)

    def of_requests(self, requests: Sequence[SampleRequest]) -> Int64:
        """Indices int64 [N, 1 + A] of checked requests."""
        sizes, rows = self.sizes, []
        for request in requests:
            said = request.attributes
            values = (
                list(known).index(said[name]) if name in said else size
                for (name, known), size in zip(self.attributes.items(), sizes[1:], strict=True)
            )
            rows.append([request.label, *values])
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(sizes))

    def require(self, request: SampleRequest) -> None:
        """Refuse what was never learnt.

        Raises:
            InputError: a class without training images, or an attribute or value never seen.
        """
        if not 0 <= request.label < len(self.classes) or not self.counts[request.label]:
            named = zip(self.classes, self.counts, strict=True)
            known = ", ".join(f"{k} ({name})" for k, (name, n) in enumerate(named) if n)
            inside = 0 <= request.label < len(self.classes)
            name = f" ({self.classes[request.label]})" if inside else ""
            raise InputError(
                f"request {request.index} wants class {request.label}{name}",
                rule=f"the generator was fitted on images of the classes {known}",
                remedy="ask for one of these, or fit again with images of that class",
            )
        for name, value in request.attributes.items():
            if name not in self.attributes:
                raise InputError(
                    f"request {request.index} sets attribute '{name}'"
                    f"{nearest_name(name, self.attributes)}",
                    rule="the generator was fitted on the attributes "
                    + (", ".join(self.attributes) or "none"),
                    remedy="leave it out, or fit again with 'attributes' naming it",
                )
            if value not in self.attributes[name]:
                raise InputError(
                    f"request {request.index} wants {name} = '{value}'"
                    f"{nearest_name(value, self.attributes[name])}",
                    rule=f"values of '{name}' in the training images: "
                    + ", ".join(one or "(missing)" for one in self.attributes[name]),
                    remedy="ask for one of these",
                )

    def as_json(self) -> dict[str, Any]:
        """For the facts that are kept with a generator."""
        return {
            "classes": list(self.classes),
            "counts": list(self.counts),
            "attributes": {name: list(values) for name, values in self.attributes.items()},
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Vocabulary:
        """Read back what :meth:`as_json` gave; other entries are ignored."""
        return cls(
            tuple(facts["classes"]),
            tuple(facts["counts"]),
            {name: tuple(values) for name, values in facts.get("attributes", {}).items()},
        )
