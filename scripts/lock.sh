#!/bin/sh
# Pins every package for every system and Python >= 3.11. Pins that pyproject.toml still allows stay
# as they are; `scripts/lock.sh --upgrade` takes the newest of all.
set -eu
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never
uv=$(scripts/bootstrap.sh uv)

compile() { # group, then further options
    group="$1"
    shift
    "$uv" pip compile pyproject.toml --group "$group" --universal --python-version 3.11 \
        --generate-hashes --no-header --no-annotate --quiet "$@" \
        --output-file "requirements/$group.txt"
    "${PYTHON:-python3}" scripts/check_pins.py --stamp "requirements/$group.txt"
}

compile dev --all-extras "$@"
compile run --constraint requirements/dev.txt "$@"
