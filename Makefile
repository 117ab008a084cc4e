# Two commands matter: `make demo` and `make test`. Both install into .venv first.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
DATA ?= ../shared/data
DEPLOYMENT ?= demo

# pip compiles one file after the other; some packages bring templates that are no Python.
compile = $(BIN)/python -m compileall -q -j 2 $(VENV)/lib >/dev/null || true

# environment.sh exports DAGSTER_HOME and the rest, so the history of every target lasts.
enter = . ./environment.sh $(1) && cd "$$DAGSTER_HOME"

.PHONY: demo real-sample ui mlflow test lint bench gpu-install gpu-check install install-dev system-packages clean

demo: install ## the planted market, from raw rows to a report
	$(call enter,demo) && trademl run demo

real-sample: install ## a real hour of ETHBTC down to the report, six real instruments down to the grid: make real-sample DATA=<folder>
	export TRADEML_DATA="$(abspath $(DATA))" && $(call enter,real_sample) && trademl run ethbtc_hour
	export TRADEML_DATA="$(abspath $(DATA))" && $(call enter,real_multivenue) && trademl run --until aligned_grid

ui: install ## the web interface, on loopback only: make ui DEPLOYMENT=real_sample PORT=3001
	export TRADEML_DATA="$(abspath $(DATA))" && $(call enter,$(DEPLOYMENT)) && dagster dev --host 127.0.0.1 --port $${PORT:-3000} -w workspace.yaml

mlflow: install ## the tracking interface, on loopback only
	$(call enter,$(DEPLOYMENT)) && mlflow ui --host 127.0.0.1 --port $${PORT:-5000} --backend-store-uri "sqlite:///$$TRADEML_VAR/$(DEPLOYMENT)/mlflow.db"

test: install-dev lint
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers 2
	$(BIN)/lint-imports

bench: install-dev ## ratios against peers, one line a benchmark
	$(BIN)/python -m benchmarks

gpu-install: install-dev ## torch's CUDA build of the same version: make gpu-install TORCH_INDEX=<the index that pytorch.org names for your driver>
	@test -n "$(TORCH_INDEX)" || { echo "TORCH_INDEX is not set -> give the index of CUDA builds that pytorch.org names for your driver"; exit 2; }
	$(BIN)/pip uninstall -q -y torch
	$(BIN)/pip install -q -c constraints.txt --extra-index-url "$(TORCH_INDEX)" "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -c "import torch; assert torch.cuda.is_available(), 'torch sees no CUDA device'; print(torch.__version__, torch.cuda.get_device_name())"

gpu-check: install-dev ## every test that needs a GPU, for ten minutes at most, and a table of what was checked
	timeout 600 $(BIN)/python -m trademl_assets_tests.gpu_check

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q --no-compile -c constraints.txt -e "."
	$(compile)
	touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/pip install -q --no-compile -c constraints.txt -e ".[dev]"
	$(compile)
	touch $@ $(VENV)/.installed

system-packages: ## what the tests need from Debian: a browser that looks at the UI, a PostgreSQL server, openssl for its certificate
	apt-get update -qq && apt-get install -y -qq chromium fonts-dejavu-core postgresql openssl

clean:
	rm -rf var .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
