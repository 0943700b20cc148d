"""Generators: one file or folder a kind, one contract (``synthlift.types.Generator``)."""
