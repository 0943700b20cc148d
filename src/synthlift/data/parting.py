"""Parts that a study fixes before anything is drawn, as far as copies must know of them.

Copies and look-alikes within a part join one group. Across parts they cannot: there the copy that
would be trained on is left out (METHOD §2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from synthlift.spec.values import named
from synthlift.store.keys import digest_bytes

_TESTED = ("validation", "test")


class Placed(Protocol):
    """What must be known of an image."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def part(self) -> str:
        """Train, validation, test or "" as the data bring it."""
        ...

    @property
    def attributes(self) -> Mapping[str, str]:
        """Facts by name."""
        ...


@dataclass(frozen=True)
class Parting:
    """What fixes parts; the first that applies counts, in this order.

    Attributes:
        file: a published split.
        given: whether parts that the data bring are honoured.
        test_where: attribute → values; the test set is where all of them apply.
        leave_one_out: an attribute; each of its values is once the test set.
    """

    file: Path | None = None
    given: bool = True
    test_where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    leave_one_out: str | None = None

    def as_json(self) -> dict[str, Any]:
        """What differs from the default, for a stage's key; of the file its content."""
        content = self.file.read_bytes() if self.file is not None and self.file.is_file() else b""
        said = {
            "file": digest_bytes(content) if content else None,
            "given": None if self.given else False,
            "test_where": {name: list(values) for name, values in self.test_where.items()} or None,
            "leave_one_out": self.leave_one_out,
        }
        return {name: value for name, value in said.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], *, file: str | None) -> Parting:
        """Read back what :meth:`as_json` gave; ``file`` is where a published split lies."""
        return cls(
            file=Path(file) if file is not None and "file" in value else None,
            given=value.get("given", True),
            test_where={k: tuple(v) for k, v in value.get("test_where", {}).items()},
            leave_one_out=value.get("leave_one_out"),
        )

    def draws(self, images: Sequence[Placed]) -> list[list[str]]:
        """The part of each image in each draw that is fixed; [] where none is."""
        if self.file is not None:
            return self._published(images)
        if self.given and any(image.part in _TESTED for image in images):
            return [[image.part or "train" for image in images]]
        if self.test_where:
            wanted = {name: set(map(named, found)) for name, found in self.test_where.items()}
            tested = [
                all(_value(image, name) in values for name, values in wanted.items())
                for image in images
            ]
            return [["test" if one else "train" for one in tested]]
        if self.leave_one_out is not None:
            own = [_value(image, self.leave_one_out) for image in images]
            return [
                ["test" if one == value else "train" for one in own] for value in sorted(set(own))
            ]
        return []

    def _published(self, images: Sequence[Placed]) -> list[list[str]]:
        from synthlift.data.published import read_parts

        assert self.file is not None
        draws = read_parts(self.file)
        return [[found.get(image.id, "train") for image in images] for _, found in draws]


def _value(image: Placed, name: str) -> str:
    return named(image.attributes.get(name, ""))
