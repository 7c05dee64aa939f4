# Everything is made inside .venv; nothing has to be installed first but Rust, Python 3.10 or newer and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RUST := Cargo.toml Cargo.lock pyproject.toml build.rs $(shell find src data -type f 2>/dev/null)
OLDER_OPENAI := 1.109.1 2.54.0
OLDER_LIGHTRAG := 1.4.6 1.4.16
RAGANYTHING := 1.4.3
LITELLM := 1.109.1
LIGHTRAG_MATRIX := 1.3.9 1.4.6 1.4.9.11 1.4.16 1.5.0 1.5.4 1.5.5
# Old releases warn of what Python has planned since.
TEST_LIGHTRAG = PYTHONPATH=.venv/lightrag/$$release $(BIN)/python -m pytest -o filterwarnings=default tests/e2e/test_releases.py

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.PHONY: demo
demo: .venv/.release .venv/.demo-tools ## Meter a real LightRAG and compare with the bill
	$(BIN)/ragmeter demo

.PHONY: build
build: .venv/.release ## Build the release version into .venv, with the ragmeter command

.PHONY: test
test: .venv/.test-tools .venv/.dev $(OLDER_OPENAI:%=.venv/openai/%) $(OLDER_LIGHTRAG:%=.venv/lightrag/%) .venv/raganything/$(RAGANYTHING) .venv/litellm/$(LITELLM) ## Run every test
	tools/servers
	cargo test --quiet
	$(BIN)/python -m pytest
	for release in $(OLDER_OPENAI); do PYTHONPATH=.venv/openai/$$release $(BIN)/python -m pytest tests/e2e/test_openai.py; done
	for release in $(OLDER_LIGHTRAG); do $(TEST_LIGHTRAG); done
	PYTHONPATH=.venv/raganything/$(RAGANYTHING):.venv/lightrag/1.4.16 $(BIN)/python -m pytest -o filterwarnings=default tests/e2e/raganything_on_the_stub.py
	PYTHONPATH=.venv/litellm/$(LITELLM) $(BIN)/python -m pytest -o filterwarnings=default tests/e2e/tenants/litellm_on_the_stub.py

.PHONY: test-matrix
test-matrix: .venv/.test-tools .venv/.dev $(LIGHTRAG_MATRIX:%=.venv/lightrag/%) ## Meter every generation of LightRAG against the bill
	$(BIN)/python -m pytest tests/e2e/test_releases.py
	$(PIP) graspologic # which LightRAG up to 1.3.9 would install by itself in the middle of a test
	for release in $(LIGHTRAG_MATRIX); do echo "── LightRAG $$release"; $(TEST_LIGHTRAG); done

.PHONY: kill-rounds
kill-rounds: .venv/.test-tools .venv/.release ## Kill writers 100 times per database, and stop servers for 20 s
	tools/servers
	RAGMETER_KILL_ROUNDS=100 RAGMETER_OUTAGE=20 $(BIN)/python -m pytest -s tests/e2e/test_ledger_crash.py

.PHONY: quota-load
quota-load: .venv/.test-tools .venv/.release ## Quotas with 8 processes of 32 callers each, on every database and Redis
	tools/servers
	RAGMETER_QUOTA_PROCESSES=8 RAGMETER_QUOTA_CALLERS=32 $(BIN)/python -m pytest -s tests/e2e/test_quota_load.py

.PHONY: usage-bar
usage-bar: .venv/.test-tools .venv/.release ## Count 100,000 uses of tenants from 4 processes per database, and measure the caller
	tools/servers
	RAGMETER_USAGE_CALLS=100000 $(BIN)/python -m pytest -s tests/e2e/tenants/test_usage.py
	$(BIN)/python benches/tenant_usage.py

.PHONY: api-cases
api-cases: .venv/.test-tools .venv/.dev ## Send 5,000 made-up requests to the HTTP API
	RAGMETER_API_CASES=5600 $(BIN)/python -m pytest -s tests/python/api/test_schema.py

.PHONY: key-search
key-search: .venv/.test-tools .venv/.dev ## Run every test, and look for keys in all that is left: KEY_SEARCH=tests/python/api for some
	tools/servers
	rm -rf target/key-search && mkdir -p target/key-search
	status=0; RAGMETER_KEEP_ANSWERS=$(CURDIR)/target/key-search/said PYTHONPATH=tools $(BIN)/python -m pytest -q \
		-p keep_answers $(KEY_SEARCH) --basetemp=target/key-search/files -o tmp_path_retention_policy=all \
		--log-file=target/key-search/log --log-file-level=DEBUG > target/key-search.out 2>&1 || status=$$?; \
	tail -n 5 target/key-search.out; tools/key_search target/key-search && exit $$status

.PHONY: bench-ledger
bench-ledger: .venv/.test-tools .venv/.release ## Measure the ledger side by side with what it is compared with
	tools/servers
	$(BIN)/python benches/ledger.py sqlite 60
	$(BIN)/python benches/ledger.py servers 30
	$(BIN)/python benches/ledger.py latency 40
	cargo run --quiet --release --example fill sqlite:target/bench.db 10000000 90
	$(BIN)/python benches/ledger.py reports sqlite:target/bench.db

.PHONY: lint
lint: .venv/.lint-tools .venv/.dev ## Check format, lints and types
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	cargo clippy --quiet --all-targets --features python -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest ragmeter._native --mypy-config-file pyproject.toml

RAGFLOW_PYTHON ?= python3.13
RAGFLOW_BIN := .venv/ragflow/bin
# RAGFlow and its SDKs are imported by a fixture, which takes minutes where the machine is busy.
IMPORT_TAKES_LONG := -o timeout_func_only=true

.PHONY: test-ragflow
test-ragflow: .venv/ragflow/.ready .venv/.maturin ## Test against a real RAGFlow: make test-ragflow RAGFLOW=path/to/checkout
	test -f "$(RAGFLOW)/common/token_utils.py" || { echo "RAGFLOW=path/to/checkout is needed" >&2; exit 2; }
	$(BIN)/maturin build --quiet -i $(RAGFLOW_BIN)/python --out .venv/ragflow/wheel --target-dir target/ragflow
	$(RAGFLOW_BIN)/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps .venv/ragflow/wheel/*.whl
	RAGFLOW="$(realpath $(RAGFLOW))" $(RAGFLOW_BIN)/python -m pytest -q -o filterwarnings=default -o asyncio_default_test_loop_scope=session $(IMPORT_TAKES_LONG) --confcutdir=tests/ragflow/real tests/ragflow/real

.venv/ragflow/.ready: .venv/.ready pyproject.toml
	$(RAGFLOW_PYTHON) -m venv .venv/ragflow
	$(RAGFLOW_BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(RAGFLOW_BIN)/pip install --quiet --disable-pip-version-check --group ragflow
	touch $@

.PHONY: bench
bench: .venv/.release .venv/.demo-tools .venv/.bench-tools ## Measure, side by side with the usual ways and the peers
	for page in benches/*.py; do echo "── $$page"; $(BIN)/python $$page; done

.PHONY: fuzz
fuzz: ## Break what the readers read, 20 million times
	RAGMETER_FUZZ_RUNS=$${RAGMETER_FUZZ_RUNS:-20000000} cargo test --quiet --release --test fuzz

.PHONY: wheel
wheel: .venv/.maturin ## Build the release wheel for every Python from 3.10 into dist
	$(BIN)/maturin build --release --features abi3 --out dist

.PHONY: clean
clean: ## Remove what make made
	rm -rf .venv target dist python/ragmeter/*.so

# Debian's Python comes without venv.
.venv/.ready:
	$(PYTHON) -m venv .venv || { rm -rf .venv; $(SUDO) apt-get update -q; $(SUDO) apt-get install -q -y python3-venv; $(PYTHON) -m venv .venv; }
	$(PIP) --upgrade pip
	touch $@

.venv/.maturin: .venv/.ready
	$(PIP) 'maturin>=1.16,<2'
	touch $@

# The package is installed editable; the two stamps say which profile the extension in python/ragmeter was built with.
.venv/.release: .venv/.maturin $(RUST)
	$(BIN)/maturin develop --quiet --release
	rm -f .venv/.dev && touch $@

.venv/.dev: .venv/.maturin $(RUST)
	$(BIN)/maturin develop --quiet
	rm -f .venv/.release && touch $@

.venv/.demo-tools: .venv/.ready pyproject.toml
	$(PIP) --group demo
	touch $@

.venv/.test-tools .venv/.lint-tools .venv/.bench-tools: .venv/.%-tools: .venv/.ready pyproject.toml
	$(PIP) --group $*
	touch $@

# The generations of the OpenAI SDK before the newest, each in a folder of its own beside the environment.
.venv/openai/%: .venv/.ready
	$(PIP) --target $@.new openai==$*
	mv $@.new $@

# The same for LightRAG, whose releases make do with what the newest depends on.
.venv/lightrag/%: | .venv/.test-tools
	$(PIP) --target $@.new --no-deps lightrag-hku==$*
	mv $@.new $@

# litellm and what only it needs; it wants a newer botocore than aiobotocore does, for calls that are not made here.
.venv/litellm/%: | .venv/.test-tools
	$(PIP) --target $@.new --no-deps litellm==$* fastuuid filelock h2 hpack huggingface-hub hyperframe 'importlib-metadata<9' \
		jinja2 jsonschema jsonschema-specifications markupsafe pydantic-settings referencing rpds-py zipp
	mv $@.new $@

# RAG-Anything without its parsers, which bring gigabytes of models.
.venv/raganything/%: .venv/.test-tools
	$(PIP) --target $@.new --no-deps raganything==$*
	mv $@.new $@
