"""Starting from a picture: which generators can, and bringing the picture to their size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from synthlift.api.drawing import Start
from synthlift.errors import InputError
from synthlift.registry import available
from synthlift.types import Varies

if TYPE_CHECKING:
    from synthlift.api.kept_generators import Kept
    from synthlift.api.sources import Source
    from synthlift.types import UInt8

Fit = Literal["pad", "crop", "stretch"]
USUAL_STRENGTH = 0.5
GIVEN = "a given picture"


def why_not_from_a_picture(kind: str) -> str:
    """Why generators of a kind cannot start from a picture; "" where they can.

    Nothing is said of a kind that is not registered, such as that of a plug-in that is not loaded.
    """
    known = available("generators")
    if kind not in known or "picture" in known[kind].conditions:
        return ""
    able = sorted(name for name, one in known.items() if "picture" in one.conditions)
    return f"generators of kind {kind} cannot start from a picture; these can: {', '.join(able)}"


def require_strength(strength: float) -> None:
    """Refuse a share that is none, or that leaves the picture as it is.

    Raises:
        InputError: it is not in (0, 1].
    """
    if not 0 < strength <= 1:
        raise InputError(
            f"strength {strength:g}",
            rule="the strength is the share of the picture that is lost before an image is drawn: "
            "above 0, at most 1",
            remedy=f"give {USUAL_STRENGTH:g} to begin with; more changes more",
        )


def require_able(kind: str) -> None:
    """Refuse a kind of generator that cannot start from a picture.

    Raises:
        InputError: it cannot.
    """
    why = why_not_from_a_picture(kind)
    if why:
        raise InputError(
            "images from a picture",
            rule=why,
            remedy="leave the picture out, or take another generator",
        )


def start_of(
    kept: Kept,
    pixels: UInt8,
    *,
    strength: float,
    fit: Fit = "pad",
    name: str = GIVEN,
) -> Start:
    """A picture brought to where a generator can start from it.

    Args:
        kept: the generator.
        pixels: the picture, uint8 [H, W, 1 or 3].
        strength: share of it that is lost before an image is drawn, in (0, 1].
        fit: how it becomes square, as for the training images.
        name: what it is called in the provenance.

    Raises:
        InputError: the generator cannot start from a picture, or the strength is out of range.
    """
    from synthlift.data.sizes import resize

    require_strength(strength)
    require_able(kept.kind)
    assert isinstance(kept.fitted, Varies), "its descriptor says so"
    size, _, channels = kept.fitted.image_shape
    return Start(resize(pixels, size=size, fit=fit, channels=channels), strength, name)


def read_picture(file: Path, *, source: Source) -> tuple[UInt8, Fit]:
    """Read a picture as the images of a source are read, and say how they become square.

    Args:
        file: the picture.
        source: where the generator comes from: a run, a folder of generated images, or the study
            that it is fitted for.

    Raises:
        InputError: the file is no usable image.
    """
    from synthlift.api.classifying import kept_models
    from synthlift.api.sources import Asked, ask, is_run_folder
    from synthlift.data.decode import WHITE_16_BIT, read_image
    from synthlift.spec.data import Data
    from synthlift.vision.prediction import read_facts

    data, white = Data(), WHITE_16_BIT
    run = Path(source).expanduser() if isinstance(source, str | Path) else None
    if isinstance(source, Asked):
        data = source.study.data
    elif run is not None and is_run_folder(run):
        data = ask(run).study.data
        for model in kept_models(run)[:1]:
            white = read_facts(model.folder).white
    return read_image(file, max_pixels=data.max_pixels, white=white).pixels, data.fit
