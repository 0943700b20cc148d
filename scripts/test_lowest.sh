#!/bin/sh
# Runs the tests with the oldest direct dependencies that pyproject.toml allows, in .tools/lowest.
set -eu
cd "$(dirname "$0")/.."
scripts/bootstrap.sh dev
uv=$(scripts/bootstrap.sh uv)
export UV_PYTHON_DOWNLOADS=never
"$uv" venv --quiet --clear --python .venv/bin/python .tools/lowest
"$uv" pip compile pyproject.toml --group dev --resolution lowest-direct --python .venv/bin/python \
    --no-header --no-annotate --quiet --output-file .tools/lowest.txt
"$uv" pip sync --python .tools/lowest/bin/python .tools/lowest.txt
"$uv" pip install --python .tools/lowest/bin/python --quiet --no-deps --no-build-isolation --editable .
OMP_NUM_THREADS=1 .tools/lowest/bin/python -m pytest -n 2 --dist loadfile
