"""Taking an arm out of a run: its training images in one of four formats, with a data card."""

from synthlift.api.exporting.export import Exported, export

__all__ = ["Exported", "export"]
