"""``python -m synthlift``: the same as the command ``synthlift``."""

from __future__ import annotations

from synthlift.cli import main

if __name__ == "__main__":
    main()
