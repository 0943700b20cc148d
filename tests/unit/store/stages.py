"""Stage functions that the store's tests run, also in other processes."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from synthlift.store import StageContext, StageRequest, Summary

HERE = "tests.unit.store.stages"


def request(
    function: str = "add", *, inputs: dict[str, str | list[str]] | None = None, **config: object
) -> StageRequest:
    """A request for one of the functions below."""
    return StageRequest(
        stage="test", function=f"{HERE}:{function}", config=config, inputs=inputs or {}
    )


def add(request: StageRequest, context: StageContext) -> Summary:
    """Write the sum of two settings, and one line in the file ``journal`` for every time it ran."""
    total = request.config["a"] + request.config["b"]
    (context.out / "sum.txt").write_text(str(total))
    if "journal" in request.local:
        with Path(request.local["journal"]).open("a") as stream:
            stream.write("ran\n")
        time.sleep(0.3)
    return {"total": total}


def failing(request: StageRequest, context: StageContext) -> Summary:
    """Write something, then fail."""
    (context.out / "half.txt").write_text("half")
    raise RuntimeError("failed on purpose")


def counting(request: StageRequest, context: StageContext) -> Summary:
    """Count to ``to`` with a check-point a step; says from where it went on."""
    checkpoint = context.work / "count.txt"
    began = count = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    while count < request.config["to"]:
        count += 1
        (context.work / "next.txt").write_text(str(count))
        (context.work / "next.txt").replace(checkpoint)
        (context.out / "partial.txt").write_text(str(count))
        time.sleep(request.config["seconds"])
    (context.out / "count.txt").write_text(str(count))
    return {"began": began}


def filling(request: StageRequest, context: StageContext) -> Summary:
    """Write ``mebibytes`` of zeros as NumPy does, after a check-point."""
    checkpoint = context.work / "seen.txt"
    seen = checkpoint.is_file()
    checkpoint.write_text("yes")
    np.save(
        context.out / "zeros.npy", np.zeros((request.config["mebibytes"], 1024, 1024), np.uint8)
    )
    return {"resumed": seen}


def burning(request: StageRequest, context: StageContext) -> Summary:
    """Keep the processor busy for ``seconds``, with a check-point a tenth; may fail half-way.

    Where ``told`` is false it reports no progress, as a third party's stage may.
    """
    checkpoint = context.work / "tenths.txt"
    began = done = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    while done < 10:
        until = time.process_time() + request.config["seconds"] / 10
        while time.process_time() < until:
            pass
        done += 1
        checkpoint.write_text(str(done))
        if request.config["told"]:
            context.progress(done, 10, "")
        if done == 5 and began == 0 and request.config.get("fails"):
            raise RuntimeError("failed on purpose")
        if done == 8 and began == 0 and "pause" in request.local:
            time.sleep(60)
    return {"began": began}
