"""How fast this machine trains and samples, and how much of it the data will want."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synthlift.spec.study import Component
from synthlift.store import StageRequest
from synthlift.study.components import resolve_component
from synthlift.study.expecting import GeneratorSpeed, Speeds
from synthlift.study.preparation import Opened, to_split
from synthlift.study.session import Session
from synthlift.study.sharing import one_pool
from synthlift.study.steps import generator_effort, training_settings

if TYPE_CHECKING:
    from synthlift.data.designs import Design


def expected_parts(
    session: Session, opened: Opened, design: Design
) -> tuple[list[float], dict[str, int]]:
    """Share of each class's images that a training set will hold, by class index, and its
    validation groups by class."""
    from synthlift.data.designs import groups_per_class
    from synthlift.data.given import Images
    from synthlift.data.subsampling import expected_groups, fixed_groups

    columns = to_split(session, opened)
    published = columns.pop("published")
    groups = groups_per_class(columns["labels"], columns["groups"])
    fixed = fixed_groups(design, Images.of(**columns), published=published)
    train, validation = expected_groups(design, groups, fixed=fixed)
    return [train[name] / groups[name] for name in opened.classes], validation


def expected_counts(session: Session, opened: Opened, design: Design) -> dict[int, int]:
    """Training images per class index that a training set will have."""
    shares, _ = expected_parts(session, opened, design)
    counts = (opened.counts[name] for name in opened.classes)
    return {k: max(1, round(n * shares[k])) for k, n in enumerate(counts)}


def measure(
    session: Session,
    opened: Opened,
    design: Design,
    size: int,
    channels: int,
    *,
    generators: Sequence[Component] | None = None,
) -> Speeds:
    """Measured speeds at one size, and the steps that are wanted there without a budget.

    Args:
        session: of the study.
        opened: the data as read.
        design: says how many images a training set will have.
        size, channels: of an image.
        generators: which are measured; None = those of the study that an arm uses.
    """
    study = session.study
    counts = expected_counts(session, opened, design)
    settings = training_settings(study, counts=counts, image_size=size, flip=False)
    if generators is None:
        used = {arm.generator for arm in session.arms() if arm.uses_synthetic}
        generators = [one for one in study.generators if one.title in used]

    def taken(function: str, numerics: Mapping[str, Any], **config: Any) -> dict[str, Any]:
        request = StageRequest(
            stage="measure",
            function=f"synthlift.study.stages.measure:{function}",
            config={"shape": [size, size, channels], "classes": len(counts), **config},
            seed=study.seed,
            numerics=numerics,
            version="4",
            label=f"measuring speed at {size} pixels",
            device=session.device,
            # Words may be given by class; what they are called changes no time.
            local={"plugins": session.plugin_paths(), "classes": list(opened.classes)},
        )
        (artefact,) = session.ask([request])
        return dict(artefact.summary)

    found = taken(
        "classifier_speed",
        session.training_numerics,
        classifier=resolve_component("classifiers", study.classifier),
        training=settings.model_dump(mode="json"),
    )
    speeds: dict[str, GeneratorSpeed] = {}
    for one in generators:
        steps, monitored = generator_effort(one, counts=counts, image_shape=(size, size, channels))
        pool = one_pool(one)
        # Others that are not trained in steps have next to nothing to do.
        if steps or pool != "no":
            function = "generator_speed" if steps else "sampling_speed"
            component = resolve_component("generators", one)
            measured = taken(function, session.numerics, generator=component)
            speeds[one.title] = GeneratorSpeed(
                **measured, steps=steps or 0, monitored_images=monitored, one_pool=pool
            )
    return Speeds(
        classifier_step=found["classifier_step"],
        training_steps=settings.steps,
        generators=speeds,
        model_bytes=found["model_bytes"],
    )
