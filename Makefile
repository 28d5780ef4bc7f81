# `make help` lists what there is. `make demo` and `make test` need only Python 3.11+ and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help demo test check fmt docs bench serve collector nmap clean
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) nmap ## Watch Tracefuse do its job: scan, diff, break, recover, and show the trace of it
	@$(BIN)/tracefuse demo

test: $(READY) ## Run all tests; needs nothing but Python and make before it
	@.ci/nmap || test -z "$$CI"
	@test -z "$$CI" || $(BIN)/python -m pip install --quiet --group deploy --group docs
	$(BIN)/python -m pytest $(ARGS)

check: $(READY) ## Lint and type-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	@if otelcol=$$(deploy/collector/build.sh --no-build); then \
		"$$otelcol" validate --config otel-collector.yaml && echo "otel-collector.yaml is valid" && \
		for overlay in deploy/collector/overlays/*.yaml; do OTELCOL_VENDOR_ENDPOINT=https://vendor.example \
			"$$otelcol" validate --config otel-collector.yaml --config $$overlay && echo "$$overlay is valid" || exit 1; done; \
	else echo "otel-collector.yaml was not validated: no collector here (make collector)"; fi

fmt: $(READY) ## Format, and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY) ## Write the generated pages and dashboards anew
	$(BIN)/python docs/generate.py
	$(BIN)/python deploy/grafana/generator

bench: $(READY) nmap ## Measure; prints ratios against peers and floors of the same run
	@$(BIN)/python -m pip install --quiet --group peers
	@for bench in benchmarks/bench_*.py; do echo "== $$bench"; \
		$(BIN)/python $$bench || echo "$$bench: a goal was missed, or it could not run"; done

serve: $(READY) nmap ## Run the service on loopback
	@$(BIN)/tracefuse serve

collector: ## Find or build the OpenTelemetry Collector that the tests and the sidecar use
	@deploy/collector/build.sh

nmap:
	@.ci/nmap

clean: ## Remove everything that was made here
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@test -n "$(PYTHON)" || { echo "Tracefuse needs Python 3.11 or newer on PATH (or: make PYTHON=/path/to/python3.11)"; exit 1; }
	@echo "setting up $(VENV); the next time this is skipped"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "no virtual environment could be made; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[mcp,serve,yaml]' --group dev
	@touch $@
