"""``synthlift plan``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synthlift.cli import options
from synthlift.cli.errors import guarded

ONLY_SEEN = "not known: `synthlift preview` measures how small generated images become"


@guarded
@options.with_data
def plan(
    data: options.Given,
    out: options.Out = None,
    store: options.Store = None,
    seed: options.Seed = None,
    device: options.Device = "auto",
    workers: options.Workers = None,
    budget: options.Budget = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what a run would do and take; trains nothing."""
    from synthlift import api
    from synthlift.cli import output, starting
    from synthlift.cli.progress import following

    asked = api.ask(
        data.source,
        out=out,
        store=store,
        overrides=data.overrides(),
        seed=seed,
        budget=budget,
    )
    with following(starting.store_of(asked), quiet=quiet) as listener:
        found = api.plan(asked, device=device, workers=workers, listener=listener)
    if as_json:
        output.say_json(found)
    else:
        output.say(_words(found))


def _words(found: Mapping[str, Any]) -> str:
    from synthlift.cli.output import duration, energy, size

    effect, about = found["minimal_detectable_effect"], found["disk_bytes_about"]
    rows = [
        ("design", found["design"]),
        ("training size", f"{found['image_size']} pixels, {found['channels']} channel(s)"),
        ("arms", f"{len(found['arms'])}: {', '.join(found['arm_labels'])}"),
        ("replicates", found["replicates"]),
        ("generator fits", found["generator_fits"]),
        ("training steps", ", ".join(f"{n:,} ({what})" for what, n in found["steps"].items())),
        ("takes at most", None if found["seconds"] is None else duration(found["seconds"])),
        ("energy at most", None if found["seconds"] is None else energy(found)),
        ("disk about", size(about) if about is not None else ONLY_SEEN),
        ("disk at most", size(found["disk_bytes"])),
        (
            "smallest difference it would find",
            None if effect is None else f"{100 * float(effect):.1f} points",
        ),
    ]
    width = max(len(name) for name, _ in rows) + 2
    lines = [_wrap(f"{name:<{width}}{value}", width) for name, value in rows if value is not None]
    decided = found["decisions"].items()
    lines += ["", "Decided:", *(_wrap(f"  {name}: {d['reason']}", 4) for name, d in decided)]
    for text in found["warnings"]:
        lines += ["", _wrap(f"Warning: {text}", 2)]
    return "\n".join(lines)


def _wrap(text: str, indent: int) -> str:
    import textwrap

    return textwrap.fill(text, 96, subsequent_indent=" " * indent, break_on_hyphens=False)
