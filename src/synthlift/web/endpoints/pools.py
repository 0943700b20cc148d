"""Pools: generated pictures that people kept, for a study to take."""

from __future__ import annotations

import re

from flask import Response, request, send_file, url_for

from synthlift.api.exporting.guards import copying_finding
from synthlift.errors import InputError
from synthlift.web.context import context
from synthlift.web.errors import MissingError
from synthlift.web.generations import IMAGES
from synthlift.web.jobs.leavings import require_unread
from synthlift.web.operations import Operation
from synthlift.web.people_schemas import (
    JudgeRequest,
    PoolContent,
    PoolFacts,
    PoolImage,
    PoolList,
    PoolRequest,
)
from synthlift.web.pools import Pool
from synthlift.web.schemas import Seen

SHOWN = 200


def _pool_facts(pool: Pool) -> PoolFacts:
    last = {one["source"]: one for one in pool.judged}
    return PoolFacts(
        id=pool.id,
        name=pool.name,
        classes=pool.classes,
        judged=len(last),
        kept=len(pool.images),
        cautions=sorted({str(one["caution"]) for one in pool.images if one["caution"]}),
        archive=url_for("api.download_pool", pool=pool.id),
    )


def list_pools() -> PoolList:
    """All pools."""
    return PoolList(pools=[_pool_facts(one) for one in context().pools.all()])


def make_pool(body: PoolRequest) -> PoolFacts:
    """A new pool."""
    return _pool_facts(context().pools.make(body.name))


def get_pool(pool: str) -> PoolContent:
    """A pool with its pictures."""
    found = context().pools.get(pool)
    images = [
        PoolImage(
            name=(name := str(one["file"]).split("/")[-1]),
            url=url_for("api.pool_image", pool=pool, name=name),
            label=one["label"],
            who=one["who"],
            at=one["at"],
            facts=one["facts"],
            seen=None if one["seen"] is None else Seen.model_validate(one["seen"]),
            near_copy=one.get("near_copy"),
        )
        for one in list(reversed(found.images))[:SHOWN]
    ]
    return PoolContent(pool=_pool_facts(found), images=images)


def judge_for_pool(pool: str, body: JudgeRequest) -> PoolFacts:
    """Keep or reject a picture that was drawn here."""
    here = context()
    made = here.generations.get(body.generation)
    if body.index >= len(made.images):
        raise MissingError(str(body.index))
    one = made.images[body.index]
    if made.request.get("run") is None:
        raise InputError(
            "a picture of a model without a study",
            rule="a pool has pictures of the classes of a study, drawn by one of its generators",
            remedy="draw pictures with a generator of a run",
        )
    source = f"{made.id}/{body.index}"
    if body.verdict != "keep" and here.pools.get(pool).holds(source):
        require_unread(pool, here.jobs.all(), here.settings)
    run = here.library.get(str(made.request["run"]))
    caution = copying_finding(run.results, str(made.request["generator"]))
    judged = here.pools.judge(
        pool,
        source=source,
        label=str(made.request["label"]),
        verdict=body.verdict,
        who=body.who,
        png=(made.folder / IMAGES / one["file"]).read_bytes(),
        facts={**one["facts"], "run": run.results.study.name},
        seen=one["seen"],
        near_copy=(one.get("near") or {}).get("near_copy"),
        terms=made.terms,
        caution=f"{made.request['generator']} of {run.results.study.name}: {caution}"
        if caution
        else "",
    )
    return _pool_facts(judged)


def pool_image(pool: str, name: str) -> Response:
    """One picture."""
    found = context().pools.get(pool)
    one = next((one for one in found.images if str(one["file"]).split("/")[-1] == name), None)
    if one is None:
        raise MissingError(name)
    return send_file(found.file(one), mimetype="image/png")


def take_out_of_pool(pool: str, name: str) -> PoolFacts:
    """Take a picture out again."""
    who = request.args.get("who", "")[:80].strip() or "somebody"
    here = context()
    require_unread(pool, here.jobs.all(), here.settings)
    return _pool_facts(here.pools.take_out(pool, name, who=who))


def delete_pool(pool: str) -> PoolList:
    """Delete a pool with its pictures."""
    here = context()
    require_unread(pool, here.jobs.all(), here.settings)
    here.pools.delete(pool)
    return list_pools()


def download_pool(pool: str) -> Response:
    """A pool as a zip."""
    found = context().pools.get(pool)
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", found.name).strip("-") or "pool"
    return Response(
        found.archive(),
        mimetype="application/zip",
        headers={"Content-Disposition": f'attachment; filename="synthetic-pool-{name}.zip"'},
    )


OPERATIONS = [
    Operation("GET", "/pools", list_pools, "List pools.", answer=PoolList),
    Operation(
        "POST", "/pools", make_pool, "Make a pool.", body=PoolRequest, answer=PoolFacts, status=201
    ),
    Operation("GET", "/pools/<pool>", get_pool, "Get a pool.", answer=PoolContent),
    Operation("DELETE", "/pools/<pool>", delete_pool, "Delete a pool.", answer=PoolList),
    Operation(
        "POST",
        "/pools/<pool>/verdicts",
        judge_for_pool,
        "Keep or reject a picture that was drawn here; kept ones go into the pool.",
        body=JudgeRequest,
        answer=PoolFacts,
        status=201,
    ),
    Operation(
        "GET",
        "/pools/<pool>/images/<name>",
        pool_image,
        "Get a picture of a pool; its metadata say what made it.",
        answer="image/png",
    ),
    Operation(
        "DELETE",
        "/pools/<pool>/images/<name>",
        take_out_of_pool,
        "Take a picture out of a pool.",
        answer=PoolFacts,
        words={"who": "who does it, for the record"},
    ),
    Operation(
        "GET",
        "/pools/<pool>/archive",
        download_pool,
        "Download a pool with a table of where its pictures come from.",
        answer="application/zip",
        costly=True,
    ),
]
