"""The readers that come with Synthlift."""

from __future__ import annotations

from synthlift.data.contract import ReaderDescriptor
from synthlift.registry import ComponentConfig

_HERE = "synthlift.data.readers"

FOLDER = ReaderDescriptor(
    kind="folder",
    config=ComponentConfig,
    version="1",
    target=f"{_HERE}.folder:FolderReader",
    summary="a folder with one sub-folder a class, also below train, val and test",
    folders=True,
)
EMBEDDED = ReaderDescriptor(
    kind="embedded",
    config=ComponentConfig,
    version="1",
    target=f"{_HERE}.embedded:EmbeddedReader",
    summary="scikit-learn's digits",
    schemes=("sklearn",),
)
