"""Masked objects or flaws pasted onto other images."""
