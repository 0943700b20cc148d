"""Filters: one file a kind, one contract (``synthlift.types.Filter``)."""
