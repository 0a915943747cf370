# Everything runs from .venv, made on first use with python3, pip and make alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
HOME_DEMO ?= .nofx
PORT ?= 3000
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-all bench lint ui clean

demo: $(VENV)/.installed  ## from nothing to a registered model and a report, offline
	$(BIN)/nofx run --home $(HOME_DEMO)

test: $(VENV)/.dev  ## what proves it, without the slow proofs
	$(BIN)/python -m pytest -n auto --dist loadgroup -m "not slow"

test-all: $(VENV)/.dev  ## the slow proofs too
	$(BIN)/python -m pytest -n auto --dist loadgroup

bench: $(VENV)/.dev  ## tables of ratios against named peers
	for script in benchmarks/bench_*.py; do $(BIN)/python -m benchmarks.$$(basename $$script .py) || exit 1; done

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

ui: $(VENV)/.installed  ## Dagster's UI on this workspace, MLflow's beside it
	$(BIN)/nofx ui --home $(HOME_DEMO) --port $(PORT)

clean:
	rm -rf $(VENV) .nofx build dist *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) -e . -c constraints.txt
	touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(PIP) -e '.[dev]' -c constraints.txt
	touch $@
