"""Sections of the report: each turns a ``Reading`` into what its template lays out, or None."""
