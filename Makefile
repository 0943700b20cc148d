# make setup | demo | test | check | format | test-slow | test-gpu | test-lowest | container | docs | lock | clean
SHELL := /bin/sh
BIN := .venv/bin
PYTHON_CODE := $(wildcard src tests benchmarks scripts docs/examples)
# Small models always use one thread; tests must not depend on the machine's core count.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: help setup run-env demo test check format test-slow test-gpu test-lowest container docs lock clean

help:
	@echo "make demo         the whole path on embedded digits, about three minutes"
	@echo "make setup        everything for development, into .venv"
	@echo "make check        format, lint, types, layers, generated files"
	@echo "make test         the tests, with two processes"
	@echo "make format       put the code into the format that 'make check' wants"
	@echo "make test-slow    the tests of minutes and hours      make test-gpu   those for a GPU"
	@echo "make container    the steps of the Dockerfile in a clean Debian; as root"
	@echo "make test-lowest  the tests with the oldest versions that pyproject.toml allows"
	@echo "make docs         generate docs/reference             make lock       pin newer versions"
	@echo "make clean        remove caches and environments"

setup:
	@scripts/bootstrap.sh dev

run-env:
	@scripts/bootstrap.sh run

demo: run-env
	@$(BIN)/synthlift demo

test: setup
	$(ONE_THREAD) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test-slow: setup
	$(ONE_THREAD) $(BIN)/python -m pytest -m slow --timeout 0

test-gpu: setup
	$(BIN)/python -m pytest -m gpu --timeout 0

test-lowest:
	@scripts/test_lowest.sh

check: setup
	$(BIN)/ruff format --check --quiet $(PYTHON_CODE)
	$(BIN)/ruff check --quiet $(PYTHON_CODE)
	$(BIN)/python scripts/check_files.py
	$(BIN)/python scripts/check_pins.py
	$(BIN)/lint-imports --no-cache
	@! test -x $(BIN)/hadolint || $(BIN)/hadolint Dockerfile
	$(BIN)/mypy $(PYTHON_CODE)
	$(BIN)/python scripts/make_reference.py --check

format: setup
	$(BIN)/ruff format $(PYTHON_CODE)
	$(BIN)/ruff check --fix $(PYTHON_CODE)

container:
	python3 scripts/try_container.py

docs: setup
	$(BIN)/python scripts/make_reference.py

lock:
	@scripts/lock.sh

clean:
	rm -rf .venv .tools .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
