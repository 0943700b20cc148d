"""Groups that nobody declared: file names that repeat, and pictures found to be alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from synthlift.data.integrity import worth

STEM = "stem"
"""The value of ``data.group`` that groups images by :func:`stem_groups`."""

SHARED = 0.2
FEWEST_STEMS = 10
LONGEST_TAIL = 3
LARGEST_GROUP = 0.05
LARGEST_PREFIX = 20
LARGEST_JOINED = 0.02
FEW_IMAGES = 5
_EXAMPLES = 5

Pairs = Iterable[tuple[int, int]]


# ── file names ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Suspicion:
    """Names that look as if several images show one thing.

    Attributes:
        images: how many share a stem with another.
        stems: how many such stems there are.
        examples: the images of one of them, the first five.
    """

    images: int
    stems: int
    examples: tuple[str, ...]

    @property
    def warning(self) -> str:
        """What to say, without the command."""
        return (
            f"{self.images:,} images share {self.stems:,} stems, such as "
            f"{', '.join(self.examples)}: they may show one patient or object, whose images must "
            "not be torn apart"
        )

    @property
    def option(self) -> str:
        """What to add to a command so that they are grouped."""
        return f"--set data.group={STEM}"


def suspected_groups(ids: Sequence[str]) -> Suspicion | None:
    """Find names that would put several images together, such as ``P012_1`` and ``P012_2``.

    Deliberately blind to mere counters (``img_0001``, ``rose_12``): what varies has at most 3
    letters or digits, the stem before it holds a digit and is not its folder's name, and no stem
    gathers over 5 % of the images. At least 20 % of the images must share a stem, and at least 10
    stems must be shared.

    Args:
        ids: of the images, paths with "/"; their order does not matter.

    Returns:
        What was found; None where nothing looks like groups.
    """
    members: dict[str, list[str]] = {}
    for name in sorted(ids):
        stem, tail = _parted(name)
        folder = PurePosixPath(name).parent.name
        if 0 < len(tail) <= LONGEST_TAIL and re.search(r"\d", stem) and stem != folder:
            members.setdefault(stem, []).append(name)
    shared = {stem: found for stem, found in members.items() if len(found) > 1}
    images = sum(map(len, shared.values()))
    if len(shared) < FEWEST_STEMS or images < SHARED * len(ids):
        return None
    if max(map(len, shared.values())) > max(FEW_IMAGES, LARGEST_GROUP * len(ids)):
        return None
    return Suspicion(images, len(shared), tuple(next(iter(shared.values()))[:_EXAMPLES]))


def stem_groups(ids: Sequence[str]) -> list[str]:
    """Group images by their stem without its last part after ``_`` or ``-``.

    ``cat/P012_1.png`` and ``dog/P012-b.png`` belong to ``P012``, and so does ``P012.png`` beside
    them. A stem with no such part, which no other image has before its own, stands alone. So do
    the images of a mere prefix: a stem without a digit that gathers over 5 % of the images and
    over 20, as ``img`` does in ``img_0001``. Folders do not matter, since one patient may lie
    under several classes.

    Args:
        ids: of the images, paths with "/".

    Returns:
        One group an image, in the given order.
    """
    parted = [_parted(name) for name in ids]
    stems = Counter(stem for stem, tail in parted if tail)
    most = max(LARGEST_PREFIX, LARGEST_GROUP * len(ids))
    prefixes = {stem for stem, n in stems.items() if n > most and not re.search(r"\d", stem)}
    return [
        stem if stem in stems and stem not in prefixes else name
        for name, (stem, _) in zip(ids, parted, strict=True)
    ]


def _parted(name: str) -> tuple[str, str]:
    """The stem of a name before its last ``_`` or ``-``, and what comes after ("" for none)."""
    stem = PurePosixPath(name).stem
    found = re.fullmatch(r"(.+)[_-]([^_-]+)", stem)
    return (found[1], found[2]) if found else (stem, "")


# ── pictures found to be alike ────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Joined:
    """Declared groups after discovered duplicates were joined.

    Attributes:
        groups: one an image.
        joined: how many groups went into another.
        largest: images of the largest set that duplicates alone connect.
        too_large: whether that exceeds 2 % of the images (and 5 images), so that the threshold by
            which duplicates are found must be tightened (METHOD §2).
    """

    groups: list[str]
    joined: int
    largest: int
    too_large: bool


def joined_groups(groups: Sequence[str], pairs: Pairs) -> Joined:
    """Let discovered duplicates join one group, with all that their groups hold (METHOD §2).

    Args:
        groups: declared groups [N].
        pairs: positions of images that are alike.
    """
    found = list(pairs)
    position = {group: k for k, group in enumerate(sorted(set(groups)))}
    names = sorted(position)
    # Roots are the smallest of their set, so that a joined group is called as its first by name.
    roots = _components(len(names), [(position[groups[i]], position[groups[j]]) for i, j in found])
    alike = Counter(_components(len(groups), found))
    largest = max(alike.values(), default=0)
    return Joined(
        groups=[names[roots[position[group]]] for group in groups],
        joined=len(names) - len(set(roots)),
        largest=largest if largest > 1 else 0,
        too_large=largest > max(FEW_IMAGES, LARGEST_JOINED * len(groups)),
    )


def drop_training_copies(draws: Sequence[Sequence[str]], pairs: Pairs) -> list[int]:
    """Which images to leave out, so that no duplicate crosses parts that are fixed.

    Duplicates that cross lose their training copy, or their validation copy where the other one
    is tested. Duplicates of duplicates count as such, so that what remains can join one group.
    Where there are several draws and each copy is tested in one of them, as when one value of an
    attribute after the other is left out, those with the same parts as most stay.

    Args:
        draws: part of each image in each draw ("" = train) [D, N]; none where nothing is fixed.
        pairs: positions of images that are alike.

    Returns:
        Positions to leave out, ascending; their number is what to report.
    """
    if not draws:
        return []
    own = [tuple(part or "train" for part in parts) for parts in zip(*draws, strict=True)]
    members: dict[int, list[int]] = {}
    for image, root in enumerate(_components(len(own), pairs)):
        members.setdefault(root, []).append(image)
    dropped = []
    for found in members.values():
        different = Counter(own[image] for image in found)
        if len(different) > 1:
            stays = max(sorted(different), key=lambda parts: (worth(parts), different[parts]))
            dropped += [image for image in found if own[image] != stays]
    return sorted(dropped)


def _components(n: int, pairs: Pairs) -> list[int]:
    """The smallest member of each one's connected set, for 0..n−1 (union–find)."""
    parent = list(range(n))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        a, b = sorted((root(i), root(j)))
        parent[b] = a
    return [root(i) for i in range(n)]
