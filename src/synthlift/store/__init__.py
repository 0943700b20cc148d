"""Artefacts: keys, records, leases, commits."""

from synthlift.store.keys import digest
from synthlift.store.requests import StageContext, StageRequest, Summary
from synthlift.store.store import Artefact, Store, default_root

__all__ = [
    "Artefact",
    "StageContext",
    "StageRequest",
    "Store",
    "Summary",
    "default_root",
    "digest",
]
