"""Bodies of requests and answers of the API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1, max_length=200)]
LONGEST_WORDS = 1000
Words = Annotated[str, Field(min_length=1, max_length=LONGEST_WORDS)]
MOST_GUIDANCE, MOST_STEPS = 50.0, 200
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Body(BaseModel):
    """A request says nothing that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ── runs ──────────────────────────────────────────────────────────────────────────────────────


class GeneratorFacts(BaseModel):
    """A generator of a run.

    ``defaults`` are settings that a request may change, ``limits`` from where to where;
    ``takes_prompts`` says whether words of one's own may take the place of the study's;
    ``refuses_pictures`` says why it cannot start from a picture, "" where it can.
    """

    name: str
    kind: str
    classes: list[str]
    attributes: dict[str, list[str]]
    defaults: dict[str, float]
    limits: dict[str, tuple[float, float]]
    takes_prompts: bool
    refuses_pictures: str


class ModelFacts(BaseModel):
    """A classifier of a run, in words."""

    role: Literal["rival", "generative", "recommended"]
    title: str
    arm: str


class SampleFacts(BaseModel):
    """A real picture of a run's gallery, to try."""

    index: int
    label: str
    url: str


class RunFacts(BaseModel):
    """A finished run; ``delivered`` where it came with the package, beside one of that name."""

    id: str
    name: str
    delivered: bool
    answer: str
    word: str
    exploratory: bool
    metric: str
    created: str
    classes: list[str]
    images: int
    image_size: int
    generators: list[GeneratorFacts]
    models: list[ModelFacts]
    samples: list[SampleFacts]
    report: str


class RunList(BaseModel):
    """Finished runs, the newest first."""

    runs: list[RunFacts]


class PretrainedFacts(BaseModel):
    """A text-to-image model that no study knows: it draws what a prompt says.

    ``name`` is what to ask for it by, ``about`` says what it can draw, "" where nobody does,
    ``licence`` is as it states it, "" where it states none; ``defaults`` and ``limits`` are as
    those of a generator.
    """

    name: str
    title: str
    about: str
    licence: str
    defaults: dict[str, float]
    limits: dict[str, tuple[float, float]]


class PretrainedList(BaseModel):
    """Models without a study: the one that comes with Synthlift, then those on the shelf."""

    models: list[PretrainedFacts]


# ── generating ────────────────────────────────────────────────────────────────────────────────


class StartRequest(Body):
    """A picture that images start from.

    ``strength`` is the share of it that is lost before an image is drawn: little changes little, 1
    leaves nothing of it. ``sample`` is one of the run's own pictures; null = the picture that is
    sent with the request.
    """

    strength: float = Field(gt=0, le=1)
    sample: int | None = Field(default=None, ge=0)


class GenerateRequest(Body):
    """Images to draw: the same generator, class, words, seed and settings give the same images.

    They are drawn by a generator of a ``run``, which then needs ``generator`` and ``label``, or by
    a ``model`` without a study, which then needs ``prompt``. With a run, ``prompt`` takes the place
    of the study's words for the class, and no ``attributes`` go with it.
    """

    run: Id | None = None
    generator: Name | None = None
    label: Name | None = None
    model: Name | None = None
    attributes: dict[Name, Name] = Field(default_factory=dict, max_length=20)
    seed: int = Field(default=0, ge=0, lt=2**53)
    count: int = Field(default=16, ge=1, le=1000)
    prompt: Words | None = None
    negative_prompt: Words | None = None
    guidance: float | None = Field(default=None, ge=0, le=MOST_GUIDANCE)
    steps: int | None = Field(default=None, ge=1, le=MOST_STEPS)
    start: StartRequest | None = None


class Seen(BaseModel):
    """The class that a classifier sees, with its calibrated probability."""

    label: str
    probability: float


class Likeness(BaseModel):
    """What a picture is like among the real images that the run's rival model was trained on.

    ``label`` is the class of the nearest of them, ``unusual`` the share of held-out real pictures
    that lie nearer to the training data, ``near_copy`` whether it lies nearer to one training
    image than 99 of 100 held-out pictures do.
    """

    label: str
    unusual: float
    near_copy: bool


class GeneratedLikeness(Likeness):
    """With the address of the nearest training image."""

    url: str


class GeneratedImage(BaseModel):
    """A synthetic image: where it is, what made it, as what it is seen, and what it is like."""

    index: int
    url: str
    facts: dict[str, str]
    seen: Seen | None
    near: GeneratedLikeness | None


class GenerationFacts(BaseModel):
    """How far a request for images is; ``images`` are those from ``after`` on.

    ``remarks`` say what of the request has no effect, such as words that no text encoder reads.
    """

    id: str
    state: Literal["running", "done", "failed", "cancelled"]
    request: GenerateRequest
    done: int
    total: int
    seconds_left: float | None
    images: list[GeneratedImage]
    archive: str
    remarks: list[str]
    error: dict[str, str]


# ── classifying ───────────────────────────────────────────────────────────────────────────────


class PictureLikeness(Likeness):
    """With the nearest training image, a PNG as base64."""

    picture: str


class ModelAnswer(BaseModel):
    """What one model says of a picture.

    ``map`` is a PNG as base64: the picture as the model took it, and where it saw the class. It is
    "" where that was not asked for, or where the model has no map of places.
    """

    role: Literal["rival", "generative", "recommended"]
    label: str
    probability: float
    probabilities: dict[str, float]
    map: str


class PictureFacts(BaseModel):
    """One picture: an answer of each model, or why it cannot be used."""

    name: str
    problem: str
    answers: list[ModelAnswer]
    near: PictureLikeness | None


class Classified(BaseModel):
    """All pictures in the order in which they were sent."""

    models: list[ModelFacts]
    pictures: list[PictureFacts]


class SampleRequest(Body):
    """Pictures of the run's gallery to classify, by their index."""

    samples: list[Annotated[int, Field(ge=0)]] = Field(min_length=1, max_length=24)
    explain: bool = False
