# make demo    install into .venv and run molecular dynamics of BaTiO3 in an electric field (minutes, most of them installing)
# make test    install into .venv and run the tests
#
# Both need Python 3.11 to 3.13 and make, nothing else; with a C++ compiler the native operators are built too.

.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= $(firstword $(foreach p,python3 python3.13 python3.12 python3.11,$(shell $(p) -c 'import sys; print("$(p)" if (3, 11) <= sys.version_info[:2] < (3, 14) else "")' 2>/dev/null)))
JOBS ?= 2
PYTEST_ARGS ?=
PIP := -m pip --disable-pip-version-check install --quiet

VENV := .venv
BIN := $(VENV)/bin
VENV_PYTHON_ROUTE := .venv-python
BIN_PYTHON_ROUTE := $(VENV_PYTHON_ROUTE)/bin
# The build of torch without CUDA where it can be had; elsewhere pip takes the one on PyPI.
TORCH_CPU := --extra-index-url https://download.pytorch.org/whl/cpu --retries 2 --timeout 30

NATIVE_SOURCES := $(wildcard plugin/src/*.* plugin/src/*/*.* plugin/cuda/*.* plugin/emulation/*.*)
OPERATOR_SOURCES := plugin/CMakeLists.txt $(NATIVE_SOURCES)

.PHONY: help
help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 22

.PHONY: demo
demo: $(VENV)/operators ## run molecular dynamics of BaTiO3 in a field that swings, on the model that ships; writes into demo/
	OMP_WAIT_POLICY=PASSIVE $(BIN)/openmm-pqeq run examples/BaTiO3.cif --model batio3 --protocol pme --supercell 3 3 3 --temperature 300 --friction 10 --time 1ps \
	  --field 0 0 "0.05*sin(2*pi*t/0.5)" --output demo --overwrite

.PHONY: test
test: $(VENV)/operators $(VENV)/extras ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

.PHONY: test-python-route
test-python-route: $(VENV_PYTHON_ROUTE)/installed ## run the tests of the PythonForce route with a current torch and OpenMM
	OMP_NUM_THREADS=1 $(BIN_PYTHON_ROUTE)/python -m pytest -n $(JOBS) -m python_route $(PYTEST_ARGS)

.PHONY: lint
lint: $(VENV)/installed ## ruff, clang-format, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror $(NATIVE_SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: doctests
doctests: $(VENV)/operators ## run the examples in docstrings
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --doctest-modules openmm_pqeq -q -p no:cacheprovider

.PHONY: examples
examples: $(VENV)/operators ## run every example
	set -e; for example in examples/*.py; do echo "== $$example"; MPLBACKEND=Agg $(BIN)/python $$example; done

.PHONY: docs
docs: $(VENV)/extras ## the documentation as a site that needs no network, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open build/site/index.html"

.PHONY: ops
ops: $(VENV)/installed ## build the native operators for the torch in .venv
	rm -f $(VENV)/operators
	$(MAKE) $(VENV)/operators

# Tests of the native operators. Captured is sys alone: what a sanitizer says before it ends the process is to be seen.
SANITIZED_TESTS := $(wildcard tests/*/test_*_op.py) tests/pqeq/test_sweeps.py

.PHONY: sanitize
sanitize: $(VENV)/installed ## build the native operators with address and undefined-behaviour sanitizers, and run their tests
	$(BIN)/cmake -S plugin -B build/sanitize -DPQEQ_SANITIZE=ON -DPQEQ_CUDA=OFF -DPython3_EXECUTABLE="$(abspath $(BIN)/python)" \
	  -DPQEQ_OUTPUT_DIRECTORY="$(abspath build/sanitize/library)"
	$(BIN)/cmake --build build/sanitize --parallel $(JOBS)
	LD_PRELOAD="$$($${CXX:-c++} -print-file-name=libasan.so) $$($${CXX:-c++} -print-file-name=libubsan.so)" ASAN_OPTIONS=detect_leaks=0 \
	  UBSAN_OPTIONS=print_stacktrace=1 OPENMM_PQEQ_NATIVE="$(abspath build/sanitize/library)" OMP_NUM_THREADS=2 \
	  $(BIN)/python -m pytest $(SANITIZED_TESTS) -q -p no:cacheprovider --capture=sys

# A machine with a GPU often has no network: what it lacks is fetched here, carried there, and installed from there alone.
GPU_PYTHON ?= 3.12
GPU_MORE ?=
GPU_ARGS ?=

.PHONY: gpu-wheels
gpu-wheels: check-python ## fetch what `make gpu` installs (GPU_PYTHON=3.12, GPU_MORE="nvidia-cuda-nvcc==13.0.* cmake" for what the machine lacks)
	$(PYTHON) benchmarks/gpu_wheels.py gpu-wheels --python $(GPU_PYTHON) $(GPU_MORE)

.PHONY: gpu
gpu: ## on a machine with an NVIDIA GPU: build, verify and measure, in 8 minutes (GPU_ARGS=--dry-run: the same code on the CPU)
	PYTHON="$(PYTHON)" benchmarks/gpu.sh $(GPU_ARGS)

.PHONY: clean
clean: ## remove what make built, the environments included
	rm -rf $(VENV) $(VENV_PYTHON_ROUTE) build demo gpu-wheels openmm_pqeq/_native

.PHONY: check-python
check-python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 found. Install one, or name it: make PYTHON=/path/to/python3.11 ..."; exit 1; }

# Stamps: an environment is installed again when pyproject.toml changes, the operators when their sources do.
$(VENV)/installed: pyproject.toml | check-python
	@echo "Installing into $(VENV) (the first time takes minutes: torch is large)"
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing (Debian, Ubuntu: apt install python3-venv)."; exit 1; }
	@$(BIN)/python $(PIP) -e ".[torchforce,train,dev]"
	@touch $@

$(VENV)/extras: $(VENV)/installed
	@echo "Installing the extras into $(VENV)"
	@$(BIN)/python $(PIP) -e ".[analysis,campaign,docs]"
	@touch $@

$(VENV)/operators: $(VENV)/installed $(OPERATOR_SOURCES)
	@if command -v $${CXX:-c++} >/dev/null; then \
	  echo "Building the native operators"; \
	  { $(BIN)/cmake -S plugin -B build/plugin -DPython3_EXECUTABLE="$(abspath $(BIN)/python)" \
	    && $(BIN)/cmake --build build/plugin --parallel $(JOBS); } >$(VENV)/operators.log 2>&1 \
	  || { tail -n 20 $(VENV)/operators.log; echo "The native operators did not build (log: $(VENV)/operators.log)."; }; \
	else echo "No C++ compiler found: the native operators are not built."; fi
	@$(BIN)/python -c "from openmm_pqeq import ops; print('Native operators:', ops.status())"
	@touch $@

$(VENV_PYTHON_ROUTE)/installed: pyproject.toml | check-python
	@echo "Installing into $(VENV_PYTHON_ROUTE)"
	@$(PYTHON) -m venv $(VENV_PYTHON_ROUTE)
	@$(BIN_PYTHON_ROUTE)/python $(PIP) "torch==2.13.0" $(TORCH_CPU)
	@$(BIN_PYTHON_ROUTE)/python $(PIP) "openmm==8.6.1" -e ".[python-route,test]"
	@touch $@
