# make demo and make test do the complete set-up, in .venv, without questions.
# PYTHON=python3.12 selects another Python (3.10 or later); TESTS and OPTIONS go to pytest.
# TORCH_INDEX=URL: the package index that torch is installed from, such as PyTorch's own for CPUs; without
# it, the index that pip is configured for, like everything else.

PYTHON ?= python3
TORCH_INDEX ?=
TESTS ?=
OPTIONS ?= -n 2

BIN := .venv/bin
INSTALLED := .venv/.installed
TESTABLE := .venv/.testable
PIP = $(BIN)/python -m pip install --quiet --constraint constraints.txt --build-constraint constraints.txt

# TensorRT's real bindings, whose names the tests check the code against: CUDA:version.
BINDINGS := cu12:10.3.0 cu13:10.16.1.11 cu13:11.4.0.106

# Two test processes on two cores: one thread each.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DELETE_ON_ERROR:
.PHONY: help install demo test lint format benchmark processors release clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## set up .venv, if necessary

demo: $(INSTALLED) ## train, export, verify and serve a model on drawn pets: demo/report.html
	@$(BIN)/edgecat demo

test: $(TESTABLE) ## run all tests
	@$(ONE_THREAD) $(BIN)/python -m pytest $(OPTIONS) $(TESTS)

lint: $(TESTABLE) ## check style, types and import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(TESTABLE) ## format the code with ruff
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

benchmark: $(TESTABLE) ## measure command line, runtime and export
	@for name in cli runtime export; do $(BIN)/python benchmarks/$$name.py || exit; done

processors: $(INSTALLED) ## test on emulated processors: docs/results/processors.md (takes hours)
	@PYTHONPATH=benchmarks $(BIN)/python -m processors

release: $(TESTABLE) ## build and check wheels and source distributions in dist/; uploads nothing
	@$(BIN)/python tools/release.py

clean: ## remove .venv, the demo and all caches; keep runs/
	rm -rf .venv demo build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml runtime/pyproject.toml export/pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { \
	  echo "error: $(PYTHON) not found; install Python 3.10 or later, or choose one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "error: $$($(PYTHON) --version) is too old; expected 3.10 or later: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "error: $(PYTHON) cannot create a venv; on Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Installing into .venv; this takes a few minutes the first time."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade --constraint constraints.txt pip
	@$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url $(TORCH_INDEX) torch,$(BIN)/python tools/torch_build.py)
	@$(PIP) --editable ./runtime --editable ./export --editable '.[all]'
	@touch $@

$(TESTABLE): $(INSTALLED)
	@echo "Installing the test dependencies into .venv."
	@$(PIP) --group dev --editable './runtime[openvino,tensorrt-rtx]' --editable ./export \
	  --editable '.[all,tensorboard,parquet]'
	@$(PIP) 'ray[client]' || echo "no Ray for this Python: its tests are skipped"
	@# Its bounds on ml-dtypes and protobuf are narrower than what it works with.
	@$(BIN)/python -m pip install --quiet --no-deps --constraint constraints.txt tritonclient \
	  || echo "no tritonclient for this Python: its tests are skipped"
	@for pair in $(BINDINGS); do \
	  $(BIN)/python -m pip install --quiet --no-deps --target .venv/tensorrt-bindings/$${pair#*:} \
	    tensorrt-$${pair%:*}-bindings==$${pair#*:} \
	    || echo "no TensorRT $${pair#*:} bindings for this Python: the test of their names is skipped"; \
	done
	@touch $@
