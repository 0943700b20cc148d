"""Images drawn one after the other, however many: requests are made as they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from synthlift.api.kept_generators import Kept
from synthlift.errors import is_out_of_memory
from synthlift.seeds import seed_for
from synthlift.spec.blackened import Blackened
from synthlift.spec.provenance import facts_of, shares_of
from synthlift.spec.targets import Cell
from synthlift.types import FittedGenerator, Float32, ImageBatch, SampleRequest, UInt8, Varies

AT_ONCE = 1024
"""Requests that are made at a time."""

Halved = dict[str, int]
"""From which class and index on how many images were computed together, for lack of memory."""
Drawn = tuple[UInt8, UInt8 | None, str, str, Float32 | None]


@dataclass(frozen=True)
class Start:
    """A picture that images start from.

    Attributes:
        pixels: uint8 [H, W, C] at the generator's native size.
        strength: share of it that is lost before an image is drawn, in (0, 1].
        name: what it is called in the provenance; never the name of a file.
    """

    pixels: UInt8
    strength: float
    name: str

    @property
    def words(self) -> str:
        """For the provenance of what is made from it."""
        return f"a variation of {self.name}, strength {self.strength:g}"

    def as_json(self) -> dict[str, str | float]:
        """What tells it from another; of the picture only a hash."""
        return {
            "sha256": hashlib.sha256(self.pixels.tobytes()).hexdigest(),
            "strength": self.strength,
        }


def drawn(
    kept: Kept, wanted: Wanted, *, halved: list[Halved], blackened: Blackened, first: int = 0
) -> Iterator[tuple[SampleRequest, Drawn]]:
    """Each image from ``first`` on, its mask where there is one, what it was made from, its
    prompt, and its class probabilities [K] where it lies between classes; images that come out
    black are counted."""
    for start in range(first, wanted.count, AT_ONCE):
        requests = wanted.requests(start, min(start + AT_ONCE, wanted.count))
        left = iter(requests)
        made = 0
        start_from = wanted.start
        for batch in batches(
            kept.fitted, requests, device=kept.device, halved=halved, start=start_from
        ):
            nothing, count = ("",) * len(batch), len(batch)
            made += count
            blackened.add(count, redrawn=batch.redrawn, black=batch.black)
            yield from zip(
                islice(left, count),
                zip(
                    batch.pixels,
                    [None] * count if batch.masks is None else list(batch.masks),
                    [_made_from(start_from, one) for one in batch.origins or nothing],
                    batch.prompts or nothing,
                    [None] * count if batch.soft_labels is None else list(batch.soft_labels),
                    strict=True,
                ),
                strict=True,
            )
        if made < len(requests):
            return


def _made_from(start: Start | None, origin: str) -> str:
    return "; ".join(filter(None, [start.words if start else "", origin]))


def batches(
    fitted: FittedGenerator,
    requests: Sequence[SampleRequest],
    *,
    device: str,
    halved: list[Halved],
    start: Start | None = None,
) -> Iterator[ImageBatch]:
    """Sample; where memory runs out, go on in less of it and take note."""
    from synthlift.study.stages.generation import leaner, too_large_to_sample

    left = list(requests)
    while left:
        last = halved[-1] if halved else Halved(micro_batch=0, label=0, index=0)
        now = leaner(fitted, last["micro_batch"], savings=last.get("savings", 0))
        try:
            for batch in _sampled(now, left, start):
                yield batch
                left = left[len(batch) :]
            return
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            said = too_large_to_sample(now, device=device, savings=last.get("savings", 0))
            if not said.micro_batch and not said.savings:
                raise said from error
            half = Halved(
                micro_batch=max(1, said.micro_batch // 2), label=left[0].label, index=left[0].index
            )
            if said.savings:
                half["savings"] = len(said.savings)
            halved.append(half)


def _sampled(
    fitted: FittedGenerator, requests: Sequence[SampleRequest], start: Start | None
) -> Iterator[ImageBatch]:
    if start is None:
        return fitted.sample(requests)
    assert isinstance(fitted, Varies), "start_of() comes first"
    return fitted.vary(start.pixels, requests, strength=start.strength)


@dataclass(frozen=True)
class Wanted:
    """Images of one class, whose requests are made as they are needed.

    Attributes:
        kept: the generator.
        name: of the class.
        count: images.
        seed: the same seed, class and attributes give the same images; more begin with the same.
        attributes: values that all are asked for by.
        params: words, guidance and steps that differ from the generator's own, see
            :func:`synthlift.api.asking.params_for`.
        start: the picture that all start from; None = none.
    """

    kept: Kept
    name: str
    count: int
    seed: int
    attributes: Mapping[str, str]
    params: Mapping[str, str | float] = field(default_factory=dict)
    start: Start | None = None

    def requests(self, start: int, stop: int) -> list[SampleRequest]:
        """Those from ``start`` up to ``stop``."""
        cell = Cell.of(self.kept.classes.index(self.name), self.attributes)
        # A stream of its own: these are no images of the study.
        place = ("generate", self.name, *cell.seed_parts[1:])
        return [
            SampleRequest(
                index=i,
                label=cell.label,
                seed=seed_for(self.seed, *place, i),
                attributes=dict(self.attributes),
                params=dict(self.params),
            )
            for i in range(start, stop)
        ]


def told_of(kept: Kept, request: SampleRequest, image: Drawn) -> dict[str, str]:
    """What the file of an image says of it."""
    _, _, made_from, prompt, soft = image
    return facts_of(
        generator=kept.name,
        kind=kept.kind,
        label="" if kept.nameless else kept.classes[request.label],
        seed=request.seed,
        index=request.index,
        fit_seed=kept.seed,
        attributes=request.attributes,
        made_from=made_from,
        prompt=prompt,
        shares=None if soft is None else shares_of(soft, kept.classes),
    )
