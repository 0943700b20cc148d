"""The readers that come with Synthlift."""

from __future__ import annotations

from synthlift.data.contract import ReaderDescriptor
from synthlift.data.endings import NOT_READ, TABLES
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
    summary="scikit-learn's digits, embedded:leaves, and drawings with traits: embedded:drawings",
    schemes=("sklearn", "embedded"),
)
NPZ = ReaderDescriptor(
    kind="npz",
    config=ComponentConfig,
    version="1",
    target=f"{_HERE}.npz:NpzReader",
    summary="arrays of a NumPy .npz file, as MedMNIST lays them out",
    suffixes=(".npz",),
)
TORCHVISION = ReaderDescriptor(
    kind="torchvision",
    config=ComponentConfig,
    version="1",
    target=f"{_HERE}.torchvision_sets:TorchvisionReader",
    summary="torchvision's data sets by name: torchvision:CIFAR10?root=FOLDER",
    schemes=("torchvision",),
)
HUB = ReaderDescriptor(
    kind="hub",
    config=ComponentConfig,
    version="1",
    target=f"{_HERE}.hub:HubReader",
    summary="data sets in the Hugging Face Hub's formats: hf:FOLDER or hf:OWNER/NAME",
    schemes=("hf",),
)
TABLE = ReaderDescriptor(
    kind="table",
    config=ComponentConfig,
    version="1",
    target=f"{_HERE}.table:TableReader",
    summary="a table of paths: CSV, TSV, parquet or .xlsx",
    suffixes=TABLES + NOT_READ,
)
