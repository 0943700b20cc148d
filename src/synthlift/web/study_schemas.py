"""Bodies of requests and answers of the API about data sets, jobs, studies and their figures."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from synthlift.web.questions import Budget, Question
from synthlift.web.schemas import Body, Id, Name

Text = Annotated[str, Field(max_length=200)]


# ── data sets ─────────────────────────────────────────────────────────────────────────────────


class DataFacts(BaseModel):
    """A data set that may be studied; ``tables`` lie beside its pictures."""

    id: str
    name: str
    kind: Literal["folder", "upload"]
    until: float | None
    tables: list[str]


class DataList(BaseModel):
    """Uploads, then folders."""

    data: list[DataFacts]


class ColumnFacts(BaseModel):
    """A column of a table: how many values it has, and what it may be good for."""

    name: str
    values: int
    missing: int
    examples: list[str]
    may_group: bool
    may_divide: bool


class TableFacts(BaseModel):
    """A table beside the pictures, as it was read; ``problem`` says why it cannot be used."""

    name: str
    rows: int
    columns: list[ColumnFacts]
    notes: list[str]
    problem: str


class TableList(BaseModel):
    """The tables of a data set."""

    tables: list[TableFacts]


# ── requests ──────────────────────────────────────────────────────────────────────────────────


class InspectRequest(Body):
    """A data set to look at, joined with one of its tables."""

    data: Id
    table: Text = ""
    group: Text = ""
    attributes: list[Name] = Field(default_factory=list, max_length=20)


class StudyRequest(InspectRequest):
    """A question about a data set.

    Attributes:
        attribute: of the question about groups: a column, or something read off the pictures.
        derived: whether it is the latter.
        pool: of the question about a pool.
    """

    question: Question = "help"
    budget: Budget = "30m"
    attribute: Text = ""
    derived: bool = False
    pool: Id | None = None


# ── jobs ──────────────────────────────────────────────────────────────────────────────────────


class TaskFacts(BaseModel):
    """Something that is being computed now."""

    label: str
    done: int
    total: int


class Progress(BaseModel):
    """How far a study is, from its run folder."""

    label: str
    done: int | None
    total: int | None
    seconds: float | None
    seconds_left: float | None
    tasks: list[TaskFacts]


class StageFacts(BaseModel):
    """A kind of work and how much of it is finished."""

    name: str
    title: str
    done: int
    seconds: float


class Sheet(BaseModel):
    """What a generator drew at a step of its training."""

    generator: str
    fit: int
    step: int
    url: str


class Curve(BaseModel):
    """A number that a generator's training tells, against the step."""

    generator: str
    fit: int
    name: str
    total: int
    points: list[tuple[int, float]]


class Live(BaseModel):
    """What a study shows of itself beside its report: finished work, sheets, curves."""

    stages: list[StageFacts]
    sheets: list[Sheet]
    curves: list[Curve]


class Found(BaseModel):
    """What an inspection found, in short; ``obstacles`` are of questions that it forbids."""

    images: int
    usable: int
    classes: dict[str, int]
    warnings: list[str]
    smallest_effect: float | None
    obstacles: dict[str, str]


class Forecast(BaseModel):
    """What a study would do and take at most; nothing was trained to say so.

    ``disk_bytes_about`` is what to expect, where that is known.
    ``obstacles`` are of questions that the pictures, as they were read for it, forbid.
    """

    seconds: float | None
    disk_bytes: int | None
    disk_bytes_about: int | None = None
    design: str
    image_size: int
    arms: list[str]
    replicates: int
    generator_fits: int
    smallest_effect: float | None
    warnings: list[str]
    reasons: list[str]
    obstacles: dict[str, str]


class OtherStudy(BaseModel):
    """The other one of two studies that answer a question together."""

    id: str
    part: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]


class JobFacts(BaseModel):
    """A study, an inspection or a forecast.

    Attributes:
        goes_on: whether it ended before it was done, and its pictures are still there.
        page: what it shows so far.
        run: its finished run.
        command: what is run, as it may be typed where the pictures lie.
        part: what it is beside other studies of one question; "" = it is alone.
        other: the other one of these, unless it was deleted.
        answer: the page on which both answer the question; "" until both are done.
    """

    id: str
    kind: Literal["study", "demo", "inspect", "plan"]
    title: str
    part: str
    state: Literal["queued", "running", "cancelling", "done", "failed", "cancelled"]
    created: float
    started: float | None
    ended: float | None
    goes_on: bool
    error: str
    command: str
    progress: Progress | None
    page: str
    run: str
    other: OtherStudy | None
    answer: str
    found: Found | None
    forecast: Forecast | None


class JobList(BaseModel):
    """All jobs, the newest first."""

    jobs: list[JobFacts]


class ShippedFacts(BaseModel):
    """A run that came with the package: what made it, when, in how much processor time."""

    run: str
    version: str
    command: str
    created: str
    cpu_seconds: float
    machine: str


class ExampleFacts(BaseModel):
    """A built-in example.

    Attributes:
        name, title, words, picture: what it is.
        run: its run: the one that was computed here, else the one that came with the package.
        shipped: the latter.
        unpacking: whether that is being unpacked.
        job: what computes it here.
    """

    name: str
    title: str
    words: str
    picture: str
    run: str
    shipped: ShippedFacts | None
    unpacking: bool
    job: JobFacts | None


class ExampleList(BaseModel):
    """All built-in examples."""

    examples: list[ExampleFacts]


class Deleted(BaseModel):
    """What went with a job."""

    id: str
    results: int
    bytes: int


# ── figures ───────────────────────────────────────────────────────────────────────────────────


class Interval(BaseModel):
    """A number with its 95 % interval; ``n`` is what it rests on."""

    value: float
    low: float | None
    high: float | None
    n: int


class ArmFigure(BaseModel):
    """An arm on the primary metric."""

    name: str
    role: Literal["rival", "generative", "control"]
    level: Interval


class PrimaryFigure(BaseModel):
    """The declared comparison."""

    arm: str
    rival: str
    difference: Interval
    smallest_effect: float | None


class CostFigure(BaseModel):
    """What a run took, over all of its stages."""

    seconds: float
    cpu_seconds: float
    disk_mib: float
    energy_kwh: float | None
    energy_method: str


class RunFigures(BaseModel):
    """A run as it stands beside others.

    Attributes:
        test_set: equal for runs that were tested on the same images.
        why_exploratory: reasons for which its verdict is none; empty = it is one.
        share: of the labels that each training set had, where it was cut.
    """

    id: str
    name: str
    delivered: bool
    created: str
    answer: str
    word: str
    why_exploratory: list[str]
    metric: str
    classes: list[str]
    images: int
    image_size: int
    design: str
    replicates: int
    share: float | None
    test_set: str
    primary: PrimaryFigure | None
    arms: list[ArmFigure]
    generators: dict[str, str]
    cost: CostFigure
    report: str
