"""Bodies of requests and answers of the API about what people say of images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from synthlift.web.schemas import Body, Id, Name, Seen

Who = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^\S(.*\S)?$")]
Verdict = Literal["keep", "reject", "withdrawn"]
Kind = Literal["real", "synthetic"]


# ── the gallery ───────────────────────────────────────────────────────────────────────────────


class Spoken(BaseModel):
    """A verdict by hand that counts."""

    verdict: Literal["keep", "reject"]
    who: str
    at: str


class GalleryImageFacts(BaseModel):
    """A generated image of a run, with what filters and people said of it."""

    row: int
    url: str
    label: str
    generator: str
    kept: bool
    rejected_by: str
    reason: str
    scores: dict[str, float]
    copy_found: bool
    by_hand: Spoken | None


class GalleryFacts(BaseModel):
    """Some generated images, and by what they can be looked for."""

    found: int
    all: int
    images: list[GalleryImageFacts]
    classes: list[str]
    reasons: dict[str, int]
    arms: list[str]


class VerdictRequest(Body):
    """A verdict by hand on a generated image."""

    row: int = Field(ge=0, lt=2**40)
    verdict: Verdict
    who: Who


class HandVerdictFacts(BaseModel):
    """One line of the record: who said what of which image, and when."""

    image: str
    verdict: Verdict
    who: str
    at: str


class HandVerdictList(BaseModel):
    """All verdicts by hand on a run, the newest first, withdrawn ones included."""

    verdicts: list[HandVerdictFacts]


# ── blind tests ───────────────────────────────────────────────────────────────────────────────


class BlindRequest(Body):
    """A blind test of so many pictures."""

    generator: Name
    pictures: int = Field(default=20, ge=10, le=200)


class BlindFacts(BaseModel):
    """A blind test that waits for answers: its pictures, and nothing of what they are."""

    id: str
    run: str
    generator: str
    pictures: list[str]


class AnswerRequest(Body):
    """What every picture was taken for, in their order."""

    who: Who
    answers: list[Kind] = Field(min_length=1, max_length=200)


class BlindPicture(BaseModel):
    """A picture, once all are answered."""

    url: str
    label: str
    was: Kind
    said: Kind


class BlindResult(BaseModel):
    """The score; ``low`` and ``high`` are its 95 % Wilson interval."""

    id: str
    who: str
    at: str
    generator: str
    pictures: list[BlindPicture]
    right: int
    share: float
    low: float
    high: float
    p_value: float
    report: str


# ── pools ─────────────────────────────────────────────────────────────────────────────────────


class PoolRequest(Body):
    """A new pool."""

    name: Name


class PoolFacts(BaseModel):
    """A pool: generated pictures that people kept.

    Attributes:
        classes: pictures of each class.
        judged, kept: pictures that were shown and judged, and those of them that were kept.
        cautions: what speaks against using it, such as a generator that copies.
        archive: the pool as a zip.
    """

    id: str
    name: str
    classes: dict[str, int]
    judged: int
    kept: int
    cautions: list[str]
    archive: str


class PoolList(BaseModel):
    """All pools, the newest first."""

    pools: list[PoolFacts]


class PoolImage(BaseModel):
    """A picture of a pool; ``near_copy`` says whether it is nearly a training picture."""

    name: str
    url: str
    label: str
    who: str
    at: str
    facts: dict[str, str]
    seen: Seen | None
    near_copy: bool | None


class PoolContent(BaseModel):
    """A pool with its pictures, the newest first."""

    pool: PoolFacts
    images: list[PoolImage]


class JudgeRequest(Body):
    """A verdict on a picture that was drawn on this server: kept ones go into the pool."""

    generation: Id
    index: int = Field(ge=0, lt=10_000)
    verdict: Literal["keep", "reject"]
    who: Who
