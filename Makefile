# Everything runs in .venv, which is made on first use from requirements.lock: python3, pip and make are enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
VERDICTS := tests/scoring tests/suites/test_evaluate.py tests/suites/test_means.py tests/suites/evidence tests/phases/judging/test_gate.py

.PHONY: help install demo test test-fast test-slow test-newest coverage check docs dist resolve pages bench bench-real bench-agent lock clean reliability

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make .venv with topcoat and its tools, as locked

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

demo: $(STAMP) ## The embedded project: one phase from start to verdict, in topcoat-demo/
	$(BIN)/topcoat demo topcoat-demo

test: $(STAMP) ## All tests
	$(BIN)/python -m pytest

test-fast: $(STAMP) ## The tests that take seconds
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto

test-slow: $(STAMP) ## The others, two files at a time: they train and serve real models
	$(BIN)/python -m pytest -m slow --numprocesses 2 --dist loadfile

NEWEST ?= $(shell for one in 3.14 3.13 3.12; do python$$one -c "" 2>/dev/null && echo python$$one && break; done)
NEWEST_VENV := .venv-newest

test-newest: ## The tests of scores and verdicts, on the newest Python that is installed (NEWEST=/path/to/python)
ifeq ($(NEWEST),)
	@echo "test-newest: no Python above 3.11 is installed, so nothing was tested (NEWEST=/path/to/python names one)"
else
	$(MAKE) --no-print-directory VENV=$(NEWEST_VENV) PYTHON=$(NEWEST) $(NEWEST_VENV)/installed
	$(NEWEST_VENV)/bin/python -m pytest --numprocesses auto $(VERDICTS)
endif

coverage: $(STAMP) ## Which lines the fast tests run, in their own processes
	$(BIN)/python -m pytest -m "not slow" --numprocesses auto --cov

check: $(STAMP) ## Formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

DOCS_VENV := .venv-docs

docs: $(DOCS_VENV)/installed ## The documentation site, in site/; a broken link fails
	$(DOCS_VENV)/bin/zensical build --strict --clean

$(DOCS_VENV)/installed: requirements-docs.lock
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements-docs.lock
	@touch $@

pages: $(STAMP) ## The pages that scripts write: commands, keys, sizes
	for page in commands keys; do $(BIN)/python docs/make_$$page.py > docs/$$page.new && mv docs/$$page.new docs/$$page.md || exit 1; done
	$(BIN)/python -m benchmarks.sizes > docs/sizes.new && mv docs/sizes.new docs/sizes.md

bench: $(STAMP) ## Training beside mlx-lm (and PEFT, if installed) on this machine
	$(BIN)/python benchmarks/training.py --rounds 1 --updates 2

WORK ?= bench-real
AGENT ?= bench-agent

bench-real: $(STAMP) ## A real model and a public benchmark: hours; stages resume; WORK=FOLDER OPTIONS="--cases 12 --coats 2"
	$(BIN)/python -m benchmarks.real all $(WORK) $(OPTIONS)

bench-agent: $(STAMP) ## A real agent's data on a real model: hours; stages resume; AGENT=FOLDER OPTIONS="--cases 12 --updates 100"
	$(BIN)/python -m benchmarks.agent all $(AGENT) $(OPTIONS)

reliability: $(STAMP) ## Kills at random instants, mutated lines, hostile programs and requests: half an hour
	$(BIN)/python -m benchmarks.reliability

dist: $(STAMP) ## The wheel and the sdist, in dist/, checked and installed in a new environment
	rm -rf dist
	$(BIN)/python -m tools.check_distribution

resolve: $(STAMP) ## Whether everything resolves on macOS, Linux x86-64 and arm64, Python 3.11 to 3.14 (needs uv)
	$(BIN)/python -m tools.check_resolution

LOCK := uv pip compile --universal --no-strip-extras --generate-hashes --no-annotate --no-header --python-version 3.11 --quiet

lock: ## Resolve the lock files afresh (needs uv: pip install uv)
	$(LOCK) --group dev --output-file requirements.lock pyproject.toml
	$(LOCK) --group docs --output-file requirements-docs.lock

clean: ## Remove .venv and the demo
	rm -rf $(VENV) $(NEWEST_VENV) $(DOCS_VENV) dist site topcoat-demo
