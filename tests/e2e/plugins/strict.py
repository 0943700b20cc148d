"""A filter that lets no image of one class pass."""

from __future__ import annotations

from synthlift.registry import ComponentConfig, Descriptor
from synthlift.types import Filter, FilterInputs, ImageBatch, Verdict


class StrictConfig(ComponentConfig):
    refused: str


class Strict(Filter):
    def __init__(self, config: StrictConfig) -> None:
        self.refused = config.refused
        self.label = -1

    def calibrate(self, inputs: FilterInputs) -> None:
        self.label = inputs.train.classes.index(self.refused)

    def judge(self, batch: ImageBatch) -> list[Verdict]:
        return [
            Verdict(0.0, True, f"no {self.refused} is ever good enough")
            if label == self.label
            else Verdict(1.0, False)
            for label in batch.labels
        ]


SYNTHLIFT = {
    "filters": [
        Descriptor(kind="strict", config=StrictConfig, version="1", target=f"{__name__}:Strict")
    ]
}
