# Everything is made inside .venv; nothing has to be installed first but Rust, Python 3.10 or newer and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
RUST := Cargo.toml Cargo.lock pyproject.toml $(shell find src data -type f 2>/dev/null)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.venv/.ready:
	$(PYTHON) -m venv .venv
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

.venv/.lint-tools: .venv/.ready pyproject.toml
	$(PIP) --group lint
	touch $@

.venv/.test-tools: .venv/.ready pyproject.toml
	$(PIP) --group test
	touch $@

.PHONY: build
build: .venv/.release ## Build the release version into .venv, with the ragmeter command

.PHONY: test
test: .venv/.test-tools .venv/.dev ## Run every test
	tools/servers
	cargo test --quiet
	$(BIN)/python -m pytest

.PHONY: kill-rounds
kill-rounds: .venv/.test-tools .venv/.release ## Kill writers 100 times per database, and stop servers for 20 s
	tools/servers
	RAGMETER_KILL_ROUNDS=100 RAGMETER_OUTAGE=20 $(BIN)/python -m pytest -s tests/e2e/test_ledger_crash.py

.PHONY: bench-ledger
bench-ledger: .venv/.test-tools .venv/.release ## Measure the ledger side by side with what it is compared with
	tools/servers
	$(BIN)/python benches/ledger.py sqlite 60
	$(BIN)/python benches/ledger.py servers 30
	$(BIN)/python benches/ledger.py latency 10
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

.PHONY: clean
clean: ## Remove what make made
	rm -rf .venv target python/ragmeter/*.so
