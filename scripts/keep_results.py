"""Keep a run's answer for this repository: its results without images, file names and places.

python scripts/keep_results.py RUN results/real/NAME.json --command "synthlift run NAME"
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

DROPPED = ("gallery",)
"""Lists thumbnails of the images."""


def trimmed(results: dict[str, Any], *, run: Path, command: str) -> dict[str, Any]:
    """What may be published: everything but the gallery, with places shortened to names."""
    source = results["study"]["source"]
    kept = {key: value for key, value in results.items() if key not in DROPPED}
    text = json.dumps(kept)
    beside = str(Path(source).parent)
    places = [(str(run), "RUN"), (source, Path(source).name), (beside, ".")]
    for generator in results["generators"]:
        imported = Path(str(generator["config"].get("source", "")))
        if imported.is_absolute():
            places.append((str(imported), f"./{imported.parent.name}/{imported.name}"))
    for place, name in places:
        text = text.replace(json.dumps(place)[1:-1], name)
    found: dict[str, Any] = json.loads(text)
    found["study"]["command"] = command
    return found


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--command", required=True, help="how anyone would make this run")
    given = parser.parse_args()
    run = given.run.absolute()
    results = json.loads((run / "results.json").read_text())
    given.out.parent.mkdir(parents=True, exist_ok=True)
    kept = trimmed(results, run=run, command=given.command)
    given.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
