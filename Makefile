# Every target sets up what it needs in the tree (.venv, .peers, .asan, .bench, .fuzz: ignored by git) and runs on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LATEST := .venv-latest
ARGS ?=
LATENCY ?=
WEB ?=
DATABASES ?=

# What is compiled is kept, whatever the environment says: tests' rewritten asserts take as long as a tenth of all tests.
unexport PYTHONDONTWRITEBYTECODE

# The tree runs as Python, whatever a compiler could make of it; see test-compiled.
export METAPROXY_PURE := 1

.PHONY: all test test-compiled properties coverage test-latest interop interop-istio interop-suites soak chaos fuzz fuzz-asan lint bench demo docs reference lock protos clean

all: lint test

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt --upgrade pip setuptools wheel
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[dev,demo]'
	touch $@

# Without what asks failed tests again, which only interop wants: it costs each test a message between processes.
test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist worksteal -p no:rerunfailures $(ARGS)

# The same tests, with the data path compiled: a copy of the tree in .compiled.
test-compiled: $(VENV)/.installed
	tools/compile_tree $(BIN)/python .compiled
	cd .compiled && env -u METAPROXY_PURE PYTHONPATH="$$PWD" "$(CURDIR)/$(BIN)/python" -m pytest -n auto --dist worksteal -p no:rerunfailures $(ARGS)

# The properties with six times as many examples as `make test` tries.
properties: $(VENV)/.installed
	$(BIN)/python -m pytest tests/property -n auto --dist worksteal -p no:rerunfailures --hypothesis-profile deep $(ARGS)

# The unit tests, and which lines they run: counting these takes as long again. Without those that are not counted.
coverage: $(VENV)/.installed
	$(BIN)/python -m pytest tests/unit -m "not no_cover" -n auto --cov=metaproxy --cov-report=term:skip-covered $(ARGS)

# The unit tests with the newest versions that setup.cfg allows, in a place of their own: .ci/run reports how they end.
test-latest:
	test -x $(LATEST)/bin/python || $(PYTHON) -m venv $(LATEST)
	$(LATEST)/bin/python -m pip install -q --upgrade pip setuptools wheel
	$(LATEST)/bin/python -m pip install -q --upgrade --upgrade-strategy eager --no-build-isolation -e '.[dev,demo]'
	$(LATEST)/bin/python -m pytest tests/unit -n auto $(ARGS)

# Writes constraints.txt, the versions that every other target installs, from a fresh install of all extras.
lock:
	tools/lock $(PYTHON)

# Writes metaproxy/envoy/aeraki/aeraki.binpb from the .proto files beside it.
protos: $(VENV)/.installed
	$(BIN)/python tools/protos

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

interop: $(VENV)/.installed
	tests/interop/install $(BIN)/python
	$(BIN)/python -m pytest tests/interop --ignore tests/interop/istio $(ARGS)

# A real kube-apiserver and a real istiod, in a network of their own. KUBE_APISERVER=PATH and ISTIOD=PATH name them; what is
# not named is built, which takes half an hour and is kept in .peers.
interop-istio: $(VENV)/.installed
	tests/interop/install $(BIN)/python istio
	tests/interop/istio/alone $(BIN)/python -m pytest tests/interop/istio $(ARGS)

# The suites of Redis drivers, direct and through metaproxy; see docs/how-to/run-driver-suites.md. Fetches nothing.
interop-suites: $(VENV)/.installed
	$(BIN)/python tests/suites/run.py $(ARGS)

# Long runs: reloads under load, a slow reader, ten thousand connections, streams of every kind, 4 GiB each way over HTTP
# and gRPC, and over PostgreSQL and MySQL; the largest messages of RabbitMQ. SOAK_SECONDS=60 and SOAK_STREAM=4294967296 by default.
soak: $(VENV)/.installed
	tests/interop/install $(BIN)/python
	$(BIN)/python -m pytest tests/soak/test_soak.py tests/soak/test_soak_connections.py tests/soak/test_soak_streams.py tests/soak/test_soak_postgres.py tests/soak/test_soak_mysql.py tests/soak/test_soak_kafka.py tests/soak/test_soak_kafka_metadata.py tests/soak/test_soak_rabbitmq.py -s $(ARGS)
	HTTP_STREAM=$${SOAK_STREAM:-4294967296} $(BIN)/python -m pytest tests/interop/test_http_streams.py -k long $(ARGS)

# Servers killed, stalled, restarted and cut off under load: needs root, for network namespaces. CHAOS_SECONDS=60.
chaos: $(VENV)/.installed
	tests/interop/install $(BIN)/python
	$(BIN)/python -m pytest tests/soak/test_chaos.py -s $(ARGS)

# Any bytes to each codec, FUZZ_SECONDS=1800 each, as many at a time as there are cores. ARGS='http redis': some of them.
# Where atheris has no wheel it says so, and fails only in CI.
fuzz: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation --only-binary atheris -e '.[fuzz]' || true
	$(BIN)/python tests/fuzz/fuzz_all.py $(ARGS)

# What is written in C (.pyx), built with AddressSanitizer in .asan: properties of cutters, then random and damaged bytes to each
# cutter and each codec for FUZZ_SECONDS=30 together. ARGS='redis brpc': some of them.
fuzz-asan: $(VENV)/.installed
	tools/fuzz_asan $(BIN)/python $(ARGS)

bench: $(VENV)/.installed
	$(BIN)/python -m bench $(ARGS)
	$(BIN)/python -m bench.latency $(LATENCY)
	$(BIN)/python -m bench.web $(WEB)
	$(BIN)/python -m bench.databases $(DATABASES)
	$(BIN)/python -m bench.redis_cluster $(REDIS_CLUSTER)

demo: $(VENV)/.installed
	$(BIN)/python -m demo $(ARGS)

# The site, from docs/ into .site (open .site/index.html). Any warning is an error.
docs: reference $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs .site $(ARGS)

# The parts of docs/ that the code knows best.
reference: $(VENV)/.installed
	$(BIN)/python docs/generate.py

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) $(LATEST) .asan .compiled .peers .bench .fuzz .site build *.egg-info
