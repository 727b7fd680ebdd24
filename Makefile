# `make run` and `make test` do everything on a machine that has git, make and Python 3.11 or later.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Not from the environment: some shells export HOST.
HOST :=
PORT :=
# Processes that the tests run in: some wait while others work. More want 2 GB of memory each.
JOBS ?= 3
# Some containers set it; every process of a test would then compile what it imports, 4 s for pytest's own rewriting.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run install test quick check format lock clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: $(VENV)/.installed ## Install what is missing, fetch the model, start the server (PORT=8401 for another port)
	@exec $(BIN)/pellucid serve --pull $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))

install: $(VENV)/.installed ## The virtual environment with everything the server needs

test: $(VENV)/.installed-dev ## Everything the tests need, then all tests (JOBS=4 for four processes)
	@$(BIN)/pellucid models pull
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

# Unit tests wait more than they work, and take little memory.
quick: JOBS := 4
quick: $(VENV)/.installed-dev ## The unit tests, for after each change: a minute on two cores
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --ignore tests/e2e -m "not slow" --hypothesis-profile quick -q

check: $(VENV)/.installed-dev ## Format, lint, types, import contracts
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/basedpyright
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## Rewrite the code in the project's format
	$(BIN)/ruff format src tests bench
	$(BIN)/ruff check --fix src tests bench

lock: $(VENV)/.installed-dev ## Pin the newest versions that pyproject.toml allows (needs uv)
	scripts/lock

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/.installed: requirements.lock pyproject.toml scripts/install
	@scripts/install $(VENV) requirements.lock
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@scripts/install $(VENV) requirements-dev.lock
	@touch $@
