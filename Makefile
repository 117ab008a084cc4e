# Two commands matter: `make demo` and `make test`. Both install into .venv first.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data

export DAGSTER_HOME := $(CURDIR)
export TRADEML_VAR ?= $(CURDIR)/var
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test ui mlflow lint bench real-sample clean install install-dev system-packages

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install -q -c constraints.txt -e "."
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install -q -c constraints.txt -e ".[dev]"
	touch $@ $(VENV)/.installed

demo: install ## the planted market, from raw rows to a report
	TRADEML_CONFIG=configs/demo $(BIN)/trademl run demo

real-sample: install ## a real hour of ETHBTC down to the report, six real instruments down to the grid: make real-sample DATA=<folder>
	TRADEML_DATA="$(abspath $(DATA))" TRADEML_CONFIG=configs/real_sample $(BIN)/trademl run ethbtc_hour
	TRADEML_DATA="$(abspath $(DATA))" TRADEML_CONFIG=configs/real_multivenue $(BIN)/trademl run --until aligned_grid

ui: install ## the web interface, on loopback only
	TRADEML_CONFIG=$${TRADEML_CONFIG:-configs/demo} $(BIN)/dagster dev --host 127.0.0.1 --port $${PORT:-3000} -w workspace.yaml

mlflow: install ## the tracking interface of the demo, on loopback only
	$(BIN)/mlflow ui --host 127.0.0.1 --port $${PORT:-5000} --backend-store-uri sqlite:///$(TRADEML_VAR)/demo/mlflow.db

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install-dev lint
	$(BIN)/python -m pytest -n 2 --dist loadscope

bench: install-dev ## ratios against peers, one line a benchmark
	$(BIN)/python -m benchmarks

clean:
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

system-packages: ## what the tests need from Debian: a browser that looks at the UI
	apt-get update -qq && apt-get install -y -qq chromium fonts-dejavu-core
