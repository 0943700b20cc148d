"""What may be left open of an image: only what was left open in training, too. No torch here."""

from __future__ import annotations

from collections.abc import Sequence


def require_left_open(attributes: Sequence[str], *, attribute_dropout: float) -> None:
    """Refuse attributes that are said of every training image.

    Images of a class alone leave them open, and most arms ask for those: a network that never saw
    them left open gives anything.

    Raises:
        ValueError: see above.
    """
    if attributes and not attribute_dropout:
        raise ValueError(
            "attribute_dropout: 0 with attributes: no class could be asked for by itself, since "
            f"{', '.join(attributes)} would be said of every image that is learnt; raise it"
        )
