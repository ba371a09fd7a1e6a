# Two commands do all the set-up: `make run` and `make test`.
PYTHON ?= python3
RUN := .venv
DEV := .venv-dev
REAL := .venv-real
FUZZ := .venv-fuzz
LOCK_FLAGS := --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11

.PHONY: run test test-node lint fmt bench real fuzz tables wire-cost lock prices clean debian

run: $(RUN)/.ready
	$(RUN)/bin/headrace serve $(ARGS)

test: $(DEV)/.ready lint
	$(DEV)/bin/pytest --cov --cov-report=term $(ARGS)

lint: $(DEV)/.ready
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/flake8 proxy bench tests
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

fmt: $(DEV)/.ready
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

bench: $(DEV)/.ready
	$(DEV)/bin/python -m bench $(ARGS)

# The JavaScript SDKs against a running gateway; needs Node 20 or newer, and npm.
test-node: $(DEV)/.ready
	cd tests/node && npm ci --no-fund --no-audit && HEADRACE=$(CURDIR)/$(DEV)/bin/headrace npm test

# A real model behind llama.cpp's own server, streamed through the gateway by the real SDK.
real: $(REAL)/.ready
	$(REAL)/bin/pytest tests/real $(ARGS)

# A minute of coverage-guided fuzzing for each decoder and parser.
fuzz: $(FUZZ)/.ready
	$(FUZZ)/bin/python -m tests.fuzz $(ARGS)

# Rewrites the tables of README.md and proxy/wires/COMPATIBILITY.md from the data they show.
tables: $(DEV)/.ready
	$(DEV)/bin/python -m tests.tables

# What a chunk costs from each wire to an OpenAI client, in CPU.
wire-cost: $(DEV)/.ready
	$(DEV)/bin/python -m tests.wire_cost

# Rewrites the locks from pyproject.toml (needs uv).
lock:
	uv pip compile $(LOCK_FLAGS) pyproject.toml --group pyproject.toml:build -o requirements.lock
	uv pip compile $(LOCK_FLAGS) pyproject.toml --group pyproject.toml:dev -o requirements-dev.lock
	uv pip compile $(LOCK_FLAGS) pyproject.toml --group pyproject.toml:dev tests/real/requirements.in \
		-c requirements-dev.lock -o tests/real/requirements.lock
	uv pip compile $(LOCK_FLAGS) pyproject.toml --group pyproject.toml:dev tests/fuzz/requirements.in \
		-c requirements-dev.lock -o tests/fuzz/requirements.lock

# Rewrites proxy/policy/prices.json from the pinned genai-prices.
prices: $(DEV)/.ready
	$(DEV)/bin/python -m proxy.policy.compile_prices

$(RUN)/.ready: requirements.lock pyproject.toml
	./deploy/venv $(PYTHON) $(RUN) requirements.lock

$(DEV)/.ready: requirements-dev.lock pyproject.toml
	./deploy/venv $(PYTHON) $(DEV) requirements-dev.lock

$(REAL)/.ready: tests/real/requirements.lock pyproject.toml
	./deploy/venv $(PYTHON) $(REAL) tests/real/requirements.lock

$(FUZZ)/.ready: tests/fuzz/requirements.lock pyproject.toml
	./deploy/venv $(PYTHON) $(FUZZ) tests/fuzz/requirements.lock

clean:
	rm -rf $(RUN) $(DEV) $(REAL) $(FUZZ) .fuzz build dist .coverage .hypothesis .mypy_cache .ruff_cache .import_linter_cache
