"""Endings of the files that are tables."""

from __future__ import annotations

TEXT = (".csv", ".tsv", ".tab", ".txt")
PARQUET = (".parquet", ".pq")
EXCEL = (".xlsx", ".xlsm")
TABLES = TEXT + PARQUET + EXCEL
SAVED = ("dataset_dict.json", "state.json")
"""Files by which a folder that ``save_to_disk`` of ``datasets`` wrote is known."""
NOT_READ = (".json", ".xls", ".ods")
"""Tables and annotations that are known, and refused with what to do instead."""
