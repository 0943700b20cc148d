"""Images that came out black, as a safety checker leaves what it objects to."""

from __future__ import annotations

from dataclasses import dataclass

DRAWN_ANEW = "drawn anew, black before"
"""How the origin of an image begins to say how often it came out black before."""
STILL_BLACK = "black still"
"""What it says where the last try came out black, too."""


@dataclass
class Blackened:
    """How many there were, counted as they come.

    Attributes:
        images: in all.
        redrawn: those that came out black and were drawn anew.
        black: those of them that stayed black.
    """

    images: int = 0
    redrawn: int = 0
    black: int = 0

    def add(self, images: int, *, redrawn: int, black: int) -> None:
        """Count some more."""
        self.images += images
        self.redrawn += redrawn
        self.black += black

    def add_told(self, origin: str) -> None:
        """Count one image by what its file says of its origin."""
        self.add(1, redrawn=DRAWN_ANEW in origin, black=STILL_BLACK in origin)

    @property
    def words(self) -> str:
        """In words, without a full stop; "" where no image came out black."""
        if not self.redrawn:
            return ""
        words = (
            f"{self.redrawn:,} of {self.images:,} images came out black, as a safety checker "
            "leaves what it objects to, and were drawn anew"
        )
        return f"{words}; {self.black:,} of them stayed black" if self.black else words


def said_of_origin(*, tries: int, black: bool) -> str:
    """What the origin of an image says; "" where it never came out black."""
    if not tries:
        return ""
    return f"{DRAWN_ANEW}: {tries}" + (f", {STILL_BLACK}" if black else "")
