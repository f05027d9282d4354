# make demo and make test do all the set-up there is, in .venv, and ask nothing.
# PYTHON=python3.12 names another Python (3.10 or later); TESTS and OPTIONS go to pytest.

PYTHON ?= python3
TESTS ?=
OPTIONS ?= -n 2

BIN := .venv/bin
INSTALLED := .venv/.installed
TESTABLE := .venv/.testable
PIP = $(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt

# TensorRT's real bindings, whose names the tests hold the code to: a CUDA, a colon, a version.
BINDINGS := cu12:10.3.0 cu13:10.16.1.11 cu13:11.4.0.106

# Two test processes on two cores: one thread each.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DELETE_ON_ERROR:
.PHONY: help install demo test lint format benchmark processors clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## set up .venv, if it is not yet

demo: $(INSTALLED) ## draw pets, train, export, prove and serve them: demo/report.html
	@$(BIN)/edgecat demo

test: $(TESTABLE) ## all tests
	@$(ONE_THREAD) $(BIN)/python -m pytest $(OPTIONS) $(TESTS)

lint: $(TESTABLE) ## style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(TESTABLE) ## put the code into ruff's form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

benchmark: $(TESTABLE) ## speed of command line, runtime and export
	@for name in cli runtime export; do $(BIN)/python benchmarks/$$name.py || exit; done

processors: $(INSTALLED) ## the same answer on emulated processors: docs/results/processors.md (hours)
	@PYTHONPATH=benchmarks $(BIN)/python -m processors

clean: ## remove .venv, the demo and all caches; runs/ stays
	rm -rf .venv demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml runtime/pyproject.toml export/pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: there is no $(PYTHON); install Python 3.10 or later, or name one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: $$($(PYTHON) --version) is too old; expected 3.10 or later: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot make a venv; on Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv; the first time takes some minutes."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	@$(PIP) --editable ./runtime --editable ./export --editable '.[all]'
	@touch $@

$(TESTABLE): $(INSTALLED)
	@echo "Installing what the tests need into .venv."
	@$(PIP) --group dev --editable './runtime[openvino,tensorrt-rtx]' --editable ./export \
	  --editable '.[all,tensorboard]'
	@for pair in $(BINDINGS); do \
	  $(BIN)/python -m pip install --quiet --no-deps --target .venv/tensorrt-bindings/$${pair#*:} \
	    tensorrt-$${pair%:*}-bindings==$${pair#*:} \
	    || echo "no TensorRT $${pair#*:} bindings for this Python: the test of their names skips"; \
	done
	@touch $@
