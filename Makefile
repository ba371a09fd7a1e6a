# Two commands do all the set-up: `make run` and `make test`.
PYTHON ?= python3
RUN := .venv
DEV := .venv-dev
REAL := .venv-real
FUZZ := .venv-fuzz
TOOLS := .tools
LOCK_FLAGS := --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11

.PHONY: run test test-node lint fmt bench real fuzz torture rehearse tables wire-cost bank-cost observe-cost
.PHONY: dashboards plant lock prices clean debian screenshots pages-cost

run: $(RUN)/.ready
	$(RUN)/bin/headrace serve $(ARGS)

# By up to four processes, a file by one of them. What fails is tried once more, and told of at the end.
test: $(DEV)/.ready $(TOOLS)/.ready $(TOOLS)/.chromium lint
	$(DEV)/bin/pytest -n auto --maxprocesses 4 --dist loadfile --reruns 1 --rerun-show-tracebacks -rR --cov --cov-report=term $(ARGS)

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

# A million operations of the bank, a random process killed every second; then the whole gateway, for a while.
torture: $(DEV)/.ready
	$(DEV)/bin/python -m tests.torture $(ARGS)

# Rewrites the tables of README.md and proxy/wires/COMPATIBILITY.md from the data they show.
tables: $(DEV)/.ready
	$(DEV)/bin/python -m tests.tables

# What a chunk costs from each wire to an OpenAI client, in CPU.
wire-cost: $(DEV)/.ready
	$(DEV)/bin/python -m tests.wire_cost

# Pairs of admit and settle a second, and an admit's time at 300 a second, beside the disk's fsync.
bank-cost: $(DEV)/.ready
	$(DEV)/bin/python -m tests.bank_cost

# What metrics and the log line cost a request, and what a scrape costs at 10,000 series of 4 processes.
observe-cost: $(DEV)/.ready
	$(DEV)/bin/python -m tests.observe_cost

# Builds and runs the image of deploy/Dockerfile without a container engine (as root, on Linux). Some minutes.
rehearse: $(DEV)/.ready
	$(DEV)/bin/python -m tests.deploy.rehearse $(ARGS)

# Pictures of every page of the dashboard in screenshots/, to be looked at.
screenshots: $(DEV)/.ready $(TOOLS)/.chromium
	$(DEV)/bin/python -m tests.browser.screenshots $(ARGS)

# Bytes of each page of the dashboard, and the time until it can be used.
pages-cost: $(DEV)/.ready $(TOOLS)/.chromium
	$(DEV)/bin/python -m tests.browser.cost

# Rewrites grafana/dashboards from grafana/boards.
dashboards: $(DEV)/.ready
	$(DEV)/bin/python -m grafana

# Plants bugs one at a time in a copy of the tree; the tests have to catch each. Some minutes.
plant: $(DEV)/.ready
	$(DEV)/bin/python -m tests.plant $(ARGS)

# Rewrites the locks from pyproject.toml (needs uv).
lock:
	uv pip compile $(LOCK_FLAGS) pyproject.toml --group pyproject.toml:build -o requirements.lock
	uv pip compile $(LOCK_FLAGS) pyproject.toml --extra otel --group pyproject.toml:build \
		-c requirements.lock -o requirements-otel.lock
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

# Prometheus itself, for the tests of rules and dashboards.
$(TOOLS)/.ready: deploy/prometheus
	./deploy/prometheus $(TOOLS)

# Chromium, for the tests of pages.
$(TOOLS)/.chromium: deploy/chromium
	./deploy/chromium $(TOOLS)

clean:
	rm -rf $(RUN) $(DEV) $(REAL) $(FUZZ) $(TOOLS) .fuzz build dist .coverage .hypothesis .mypy_cache .ruff_cache .import_linter_cache
