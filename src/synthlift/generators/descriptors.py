"""Descriptors of the built-in generators; no torch."""

from __future__ import annotations

from synthlift.generators.flow.config import FlowConfig
from synthlift.generators.pool.config import PoolConfig
from synthlift.registry import Descriptor

FLOW = Descriptor(
    kind="flow",
    config=FlowConfig,
    version="1",
    target="synthlift.generators.flow.generator:FlowGenerator",
    summary="class-conditional flow matching in pixel space, trained from scratch",
    conditions=frozenset({"labels", "attributes"}),
    needs=frozenset({"labels"}),
)

POOL = Descriptor(
    kind="pool",
    config=PoolConfig,
    version="1",
    target="synthlift.generators.pool.generator:PoolGenerator",
    summary="images that were made elsewhere: a folder or table, with its own class names",
    conditions=frozenset({"labels", "attributes"}),
    needs=frozenset({"inputs", "stock"}),
)
