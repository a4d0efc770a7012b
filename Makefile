# make demo    the whole idea on this machine: an adult network adapted to infants, with a report in runs/demo
# make test    every test; make test ARGS="tests/test_files.py -k atomic" runs a part of them
# make check   ruff and mypy
# make soak    the long gates: minutes to hours
# make compat  the wheel and the cluster, each in an environment of its own
#
# Each of them sets up what it needs; with a Python of another name: make test PYTHON=python3.13

PYTHON ?= $(shell for python in python3.11 python3 python; do $$python -c "" 2>/dev/null && echo $$python && break; done)
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := .venv/$(SCRIPTS)
COMPAT := .venv-compat/$(SCRIPTS)/python
CLUSTER := .venv-cluster/$(SCRIPTS)/python
JOBS ?= 2

.PHONY: demo test check soak compat

demo: .venv/.installed
	$(BIN)/fidip demo --out runs/demo $(ARGS)

# One file's tests stay in one process, so that what they share is made once.
test: .venv/.installed
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(ARGS)

check: .venv/.installed
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

soak: .venv/.installed
	$(BIN)/python -m pytest soak $(ARGS)

# Core dependencies only, so that what fidip does without its extras is tested too.
compat: .venv/.installed .venv-compat/.installed .venv-cluster/.installed
	rm -rf build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel
	$(COMPAT) -m pip install --no-deps --force-reinstall build/wheel/*.whl
	$(COMPAT) -m pytest compat/test_wheel.py $(ARGS)
	$(CLUSTER) -m pytest compat/test_cluster.py $(ARGS)

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[all,dev]"
	touch $@

.venv-compat/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-compat
	$(COMPAT) -m pip install --constraint constraints.txt . pytest
	touch $@

.venv-cluster/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-cluster
	$(CLUSTER) -m pip install --constraint constraints.txt --editable ".[cluster]" pytest
	touch $@
