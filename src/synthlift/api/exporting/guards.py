"""What must be said yes to before images leave a run: copies, and the terms of the source."""

from __future__ import annotations

from synthlift.api.run_folder import Run
from synthlift.curation.apply import COPIES_AT_MOST
from synthlift.errors import InputError
from synthlift.spec.arms import Arm
from synthlift.spec.results import Results

GATES = ("memorisation_gate", "memorisation_gate_inside")


def copying_finding(results: Results, generator: str) -> str:
    """What speaks against showing a generator's images, in words; "" where its gate passed.

    The gate fails when more than 10 % of the samples were copies, or when the copying ratio is
    below 1: then generated images lie closer to the training images than new real ones do. It
    fails, too, where nothing was compared.
    """
    found = next((one for one in results.generators if one.name == generator), None)
    if found is None:
        return ""
    if found.gate_stopped:
        return gate_message(results, generator) or "the memorisation gate stopped it"
    ratio = found.copying_ratio
    if ratio is None and found.copies is None:
        return "its images could not be compared with the training images"
    usual = found.held_out_copies or 0.0
    if found.copies is not None and found.copies - usual > COPIES_AT_MOST and not found.pastes:
        return f"{found.copies:.1%} of its samples are copies of training images by their features"
    if ratio is None or ratio.value >= 1:
        return ""
    told = gate_message(results, generator)
    return (
        f"the copying ratio is {ratio.value:.2f}, below 1: its images lie closer to the training "
        "images than new real ones do" + (f"; {told}" if told else "")
    )


def gate_message(results: Results, generator: str) -> str:
    """What the memorisation gate said of one generator."""
    for decision in results.decisions:
        if decision.name not in GATES:
            continue
        if isinstance(decision.value, dict) and generator in decision.value:
            return str(decision.value[generator])
        for sentence in decision.reason.split("; "):
            if f"generator '{generator}'" in sentence:
                return sentence
    return ""


def require_no_copies(run: Run, arm: Arm, *, accepted: bool) -> None:
    """Refuse an arm whose generator copies, unless the user accepts that.

    Raises:
        InputError: its gate failed.
    """
    found = copying_finding(run.results, str(arm.generator)) if arm.uses_synthetic else ""
    if found and not accepted:
        raise InputError(
            f"the images of generator '{arm.generator}' failed the copying gate: {found}",
            rule="copies may show somebody's pictures as new ones, so that they leave a run only "
            "when that was accepted; a blurred image also lies close to others",
            remedy="look at the pairs under 'Are images copied?' in the report, then add "
            "--accept-copies, or name an arm without this generator",
        )


def require_terms(run: Run, *, accepted: bool) -> None:
    """Refuse to export where the source may not be passed on, unless the user accepts that.

    Raises:
        InputError: ``data.redistribute`` is no.
    """
    data = run.study.data
    closed = [g.title for g in run.study.generators if g.settings().get("redistribute") == "no"]
    if closed and not accepted:
        raise InputError(
            f"the images of '{closed[0]}' may not be redistributed: its redistribute is no",
            rule="images that were made elsewhere fall under the terms of their source",
            remedy="keep the export to yourself or ask the owner, and add --accept-terms",
        )
    if data.redistribute != "no" or accepted:
        return
    terms = f" (terms: {data.terms})" if data.terms else ""
    raise InputError(
        f"the source of this run may not be redistributed: data.redistribute is no{terms}",
        rule="real images fall under their source's terms, and synthetic images may too, since "
        "they derive from them; so does an export of synthetic images only",
        remedy="keep the export to yourself or ask the owner, and add --accept-terms",
    )


def arm_of(run: Run, name: str, *, replicate: int) -> tuple[Arm, bool]:
    """The arm of an export, and whether its models were trained.

    An arm that the memorisation gate stopped before training still has its images.

    Raises:
        InputError: the run has no such arm.
    """
    trained = {arm.name for arm in run.results.arms}
    stopped = {one.name for one in run.results.generators if one.gate_stopped}
    planned = {arm.name: arm for arm in run.planned_arms()}
    if name not in trained and name in planned and planned[name].generator in stopped:
        return planned[name], False
    return run.arm(name, replicate=replicate), True
