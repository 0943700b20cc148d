#!/bin/sh
# Pins every package for every system and Python >= 3.11. Pins that pyproject.toml still allows stay
# as they are; `scripts/lock.sh --upgrade` takes the newest of all.
set -eu
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never
uv=$(scripts/bootstrap.sh uv)

compile() { # name of the file, group, then further options
    name="$1" group="$2"
    shift 2
    "$uv" pip compile pyproject.toml --group "$group" --universal --python-version 3.11 \
        --generate-hashes --no-header --no-annotate --quiet "$@" \
        --output-file "requirements/$name.txt"
    "${PYTHON:-python3}" scripts/check_pins.py --stamp "requirements/$name.txt"
}

compile dev dev --all-extras "$@"
compile run run --constraint requirements/dev.txt "$@"
