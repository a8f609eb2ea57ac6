# Every target sets up what it needs in the tree (.venv, .peers, .bench: ignored by git) and runs on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: all test interop soak chaos lint bench demo docs clean

all: lint test

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt --upgrade pip setuptools wheel
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation --config-settings editable_mode=compat -e '.[dev,demo]'
	touch $@

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --cov=metaproxy --cov-report=term:skip-covered $(ARGS)

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

interop: $(VENV)/.installed
	tests/interop/install $(BIN)/python
	$(BIN)/python -m pytest tests/interop $(ARGS)

# Long runs: reloads under load, a slow reader, ten thousand connections. SOAK_SECONDS=60 by default.
soak: $(VENV)/.installed
	$(BIN)/python -m pytest tests/soak/test_soak.py -s $(ARGS)

# Servers killed, stalled, restarted and cut off under load: needs root, for network namespaces. CHAOS_SECONDS=60.
chaos: $(VENV)/.installed
	tests/interop/install $(BIN)/python
	$(BIN)/python -m pytest tests/soak/test_chaos.py -s $(ARGS)

bench: $(VENV)/.installed
	$(BIN)/python -m bench $(ARGS)

demo: $(VENV)/.installed
	$(BIN)/python -m demo $(ARGS)

docs: $(VENV)/.installed
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .peers .bench build *.egg-info
