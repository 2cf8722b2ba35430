# Everything runs in .venv, built from the locked requirements by Python 3.11 and make alone.
PYTHON ?= python3
BIN := .venv/bin
UV_VERSION := 0.13.9
LOCK := deploy/requirements/all.txt

.PHONY: setup demo test outside chaos fuzz check audit proto reference release-contracts lock bench clean

setup: .venv/ready

.venv/ready: $(LOCK) pyproject.toml
	@echo "== setting up .venv (Python packages, about 3 GB of downloads the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11) and "CrossRec needs Python 3.11 or newer; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@VIRTUAL_ENV=.venv $(BIN)/uv pip sync --quiet --require-hashes $(LOCK)
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps --editable .
	@touch $@

demo: setup
	@$(BIN)/crossrec demo

# Files of tests take turns in three processes, each with a Kafka and a Valkey of its own: they mostly wait.
# Those of few and long tests come first, so that all processes end at the same time.
test: setup check
	@$(BIN)/python -m pytest -n logical tests/unit
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder tests/parity tests/synthetic tests/integration tests/contract
	@$(BIN)/python -m pytest tests/chaos

# Kills, pauses and cuts for five minutes a seed; every row must be as if nothing had happened. CLUSTER=1: the store is three
# primaries and three replicas, with failovers and moving slots; CLUSTER=0 too, and rows that a failover loses are rebuilt.
SEEDS ?= 1 2 3
chaos: setup
	@for seed in $(SEEDS); do $(BIN)/python -W ignore -m tests.chaos.campaign --seed $$seed \
		$(if $(CLUSTER),--cluster --wait-replicas $(CLUSTER)) || exit 1; done

# A hundred thousand records of every codec, size, form, key and header to every topic, with stop signals.
RECORDS ?= 100000
fuzz: setup
	@$(BIN)/python -W ignore -m tests.chaos.fuzz --records $(RECORDS)

# What needs tools that no Python package brings (Go and helm, Maven with Java 17, Node, a Chromium; CROSSREC_CHROMIUM names
# another), or installs packages anew. Says what is missing.
outside: setup
	@$(BIN)/uv pip install --quiet --target build/outside kubernetes-validate
	@PYTHONPATH=build/outside $(BIN)/python -m pytest -rs tests/outside

check: setup audit
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/buf lint proto
	@$(BIN)/buf breaking proto --against proto/released.binpb
	@$(BIN)/python proto/generate.py --check
	@$(BIN)/python -W ignore deploy/reference/generate.py --check
	@$(BIN)/python -m tests.outside.chart

# Known vulnerabilities of what is locked; passes, and says so, where no service that knows them can be reached.
audit: setup
	@$(BIN)/python deploy/audit.py $(LOCK)

proto: setup
	@$(BIN)/python proto/generate.py

# The pages that say what settings, features, commands, metrics and errors there are.
reference: setup
	@$(BIN)/python -W ignore deploy/reference/generate.py

# At a release: from now on, the contracts must stay compatible with these.
release-contracts: setup
	@$(BIN)/buf breaking proto --against proto/released.binpb
	@$(BIN)/buf build proto --exclude-source-info -o proto/released.binpb

bench: setup
	@$(BIN)/crossrec bench rank --json build/bench/rank.json
	@$(BIN)/crossrec bench ingest --json build/bench/ingest.json
	@$(BIN)/crossrec bench freshness --json build/bench/freshness.json
	@$(BIN)/crossrec bench overload --json build/bench/overload.json

# Everything, serving (no torch), serving + training, and serving on CPU or GPU alone, from the same resolution.
lock: setup
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  pyproject.toml --group training --group load --group console --group infra --group dev -o $(LOCK)
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  -c $(LOCK) pyproject.toml -o deploy/requirements/serving.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  -c $(LOCK) pyproject.toml --group training -o deploy/requirements/training.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  -c $(LOCK) pyproject.toml deploy/requirements/cpu.in --no-emit-package onnxruntime-gpu -o deploy/requirements/serving-cpu.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate \
	  -c $(LOCK) pyproject.toml deploy/requirements/gpu.in -o deploy/requirements/serving-gpu.txt

clean:
	rm -rf build .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
