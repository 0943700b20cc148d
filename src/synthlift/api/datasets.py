"""A training set of a run as a torch ``Dataset``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from synthlift.api.images import Pixels
from synthlift.api.training_sets import ArmImage, arm_images

if TYPE_CHECKING:
    import pandas as pd

    from synthlift.api.run_folder import Run


class ArmDataset(Dataset[tuple[Any, int]]):
    """Images and class indices, read when they are asked for.

    Each image is in it once; how often it is drawn is a matter of the arm's recipe.

    Attributes:
        classes: class names in index order.
        targets: class index of each image.
        images: where each image comes from.
    """

    def __init__(
        self,
        images: Sequence[ArmImage],
        pixels: Pixels,
        *,
        classes: Sequence[str],
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self.images, self.classes, self.transform = list(images), tuple(classes), transform
        index = {name: k for k, name in enumerate(self.classes)}
        self.targets = [index[image.label] for image in self.images]
        self._pixels = pixels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        """Image and class index; a float tensor [C, H, W] in [0, 1] without a transform."""
        image = self.images[index]
        pixels = np.array(self._pixels.training(image))
        if self.transform is None:
            item: Any = torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255
        else:
            from PIL import Image

            item = self.transform(
                Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
            )
        return item, self.targets[index]

    @property
    def table(self) -> pd.DataFrame:
        """One row an image: origin, id, label, group, generator, fit, index."""
        import pandas as pd

        return pd.DataFrame([asdict(image) for image in self.images])


def arm_dataset(
    run: Run, arm: str, *, part: str, replicate: int, transform: Callable[[Any], Any] | None
) -> ArmDataset:
    """See :meth:`synthlift.api.Run.dataset`."""
    pixels = Pixels(run)
    images = arm_images(run, run.arm(arm, replicate=replicate), part=part, replicate=replicate)
    return ArmDataset(images, pixels, classes=run.results.study.classes, transform=transform)
