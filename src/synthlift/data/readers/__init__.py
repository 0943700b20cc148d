"""Readers: one file a kind of source, found through entry points."""
