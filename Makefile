# Gradus: `make demo` shows it, `make test` tests it; `make` lists the rest.
# Needs Python >= 3.11 and pip. The first call makes .venv; later calls start at once.

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# The first interpreter that runs, is new enough and can make a virtual environment: a shim that only prints a
# complaint, or a system Python without ensurepip, is passed over.
CANDIDATES := python3.11 python3.12 python3.13 python3.14 python3 python
SUITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
PYTHON ?= $(firstword $(foreach p,$(CANDIDATES),$(shell $(p) -c '$(SUITS)' >/dev/null 2>&1 && echo $(p))))

# Real data sets for the tests that need them, where they lie beside the repository.
ifneq ($(wildcard ../shared/data/.),)
export GRADUS_DATA ?= $(abspath ../shared/data)
endif
# Which tests `make test` runs, by their markers.
MARKS ?= not slow
# One thread a test process: two processes on two cores with two threads each are slower than one.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint types docs bench clean

help: ## list what can be made
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/.installed ## install into .venv and run the main job on the digits data
	@echo "==> gradus fit digits: baselines, a network, a test score and a report from 1,797 pictures of digits"
	$(BIN)/gradus fit digits

test: $(VENV)/.test ## install into .venv and run the tests (make test-all for the long ones too)
	@echo "==> the tests, on two processes, without those marked slow"
	$(TEST) -n 2 -m "$(MARKS)"

test-all: $(VENV)/.test ## run every test, the long ones included
	@echo "==> every test, on two processes"
	$(TEST) -n 2

lint: $(VENV)/.lint ## check style
	@echo "==> ruff: rules and format"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.lint ## check types
	@echo "==> mypy"
	$(BIN)/mypy

docs: $(VENV)/.docs ## build the documentation into site/, every warning an error
	@echo "==> the documentation"
	$(BIN)/python scripts/build_docs.py

bench: $(VENV)/.bench ## run the benchmarks; minutes, on an idle machine
	@echo "==> the benchmarks"
	$(BIN)/python benchmarks/trainer.py
	$(BIN)/python benchmarks/streaming_memory.py

clean: ## remove .venv and what the tools left
	rm -rf $(VENV) site dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "error: no Python from 3.11 to 3.14 with venv found; install one, or name it: make PYTHON=/path/to/python" >&2; exit 2; }
	@echo "==> a virtual environment in $(VENV), by $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet -c constraints.txt --upgrade pip
	@touch $@

$(VENV)/.installed: $(VENV)/.made pyproject.toml constraints.txt
	@echo "==> Gradus and what it needs, in the versions of constraints.txt (PyTorch is large: minutes on a slow line)"
	$(PIP) install --quiet -c constraints.txt --build-constraint constraints.txt -e .
	@touch $@

# One stamp a dependency group of pyproject.toml.
$(VENV)/.test $(VENV)/.lint $(VENV)/.docs: $(VENV)/.installed
	@echo "==> the tools of the group $(@F:.%=%)"
	$(PIP) install --quiet -c constraints.txt --group $(@F:.%=%)
	@touch $@

$(VENV)/.bench: $(VENV)/.test benchmarks/requirements.txt
	@echo "==> what Gradus is compared with"
	$(PIP) install --quiet -c constraints.txt -r benchmarks/requirements.txt
	@touch $@
