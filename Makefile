# Every target creates .venv by itself on its first run. PYTHON=/path/to/python3.13 picks an interpreter.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help demo up test test-postgresql test-mariadb cmms-matrix soak attack lint format bench figures figures-1m requirements template scan clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(READY): requirements-dev.txt
	@python=; for candidate in $(PYTHON) python3.13 python3 python; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  [ -z "$(PYTHON)" ] || echo "PYTHON=$(PYTHON) is not a Python 3.13 that runs." >&2; \
	  echo "Python 3.13 was not found: install it (for example 'uv python install 3.13' or 'pyenv install 3.13') or name it with 'make PYTHON=/path/to/python3.13'." >&2; exit 1; \
	fi; \
	echo "Setting up $(VENV) (once, two minutes or so)"; set -o pipefail; \
	{ [ -x $(BIN)/python ] || "$$python" -m venv $(VENV); } \
	  && $(BIN)/python -m pip install --no-color --progress-bar off --disable-pip-version-check -r requirements-dev.txt 2>$(VENV)/pip.log \
	    | awk '/^Collecting /{n++; printf "\r  %d packages found", n; fflush()} /^Installing /{printf "\n  installing\n"; fflush()}' \
	  && $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable . 2>>$(VENV)/pip.log \
	  && touch $@ || { cat $(VENV)/pip.log >&2 2>/dev/null; exit 1; }

demo: $(READY) ## Play and check the whole job on this machine, then stop everything
	@$(BIN)/python -m local.demo

up: $(READY) ## Start the local stack and print its addresses, keys and examples; Ctrl-C stops it
	@OTEL=$(OTEL) $(BIN)/python -m local.up $(if $(FREE_PORTS),--free-ports) $(if $(ONE_WAY),--one-way) \
	  $(if $(KEEP),--keep) $(if $(HOSTS),--hosts $(HOSTS)) $(if $(CMMS_URL),--cmms-url $(CMMS_URL)) \
	  $(if $(NEW_COLUMNS),--columns)

test: $(READY) ## Run everything that CI runs: lint, types, tests
	@$(BIN)/ruff format --check --quiet . || { echo "Run 'make format'." >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@cd cmms && ../$(BIN)/mypy
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder
	@$(BIN)/python cmms/tests/on_database.py postgresql --numprocesses 2 --dist loadfile

test-postgresql: $(READY) ## Run the CMMS app's tests, and its races, on a PostgreSQL of their own
	@$(BIN)/python cmms/tests/on_database.py postgresql

test-mariadb: $(READY) ## Run the CMMS app's tests, and its races, on a MariaDB of their own
	@$(BIN)/python cmms/tests/on_database.py mariadb

cmms-matrix: $(READY) ## Run the CMMS app's tests on Django 4.2, 5.2, 6.0 and 6.1 by the Pythons that are present
	@$(BIN)/python cmms/tests/matrix.py

soak: $(READY) ## Play SEEDS=20000 simulated histories of faults; a failing seed is printed
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),20000)

attack: $(READY) ## Restore backups and edit the mapping on the running stack, in the middle of a load; ONLY=cmms plays one
	@$(BIN)/python -m tests.attack $(ONLY) --seed $(or $(SEED),1)

lint: $(READY) ## Check style and types only
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@cd cmms && ../$(BIN)/mypy

format: $(READY) ## Rewrite the code in the project's style
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(READY) requirements-bench.txt ## Measure the product beside other clients, and write docs/benchmarks.md; SCALE=small takes some minutes
	@[ .venv-bench/.ready -nt requirements-bench.txt ] || { \
	  $(BIN)/python -m venv .venv-bench && .venv-bench/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.txt \
	    && touch .venv-bench/.ready; } || { rm -rf .venv-bench; echo "Microsoft's SDK cannot be installed here: its column stays empty." >&2; }
	@[ benchmarks/clients/node/node_modules -nt benchmarks/clients/node/package-lock.json ] || { \
	  npm ci --prefix benchmarks/clients/node --silent --no-audit --no-fund && touch benchmarks/clients/node/node_modules; } \
	    || echo "dynamics-web-api cannot be installed here (it needs Node.js and npm): its column stays empty." >&2
	@$(BIN)/python -m benchmarks --scale $(or $(SCALE),full) $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS)) $(if $(AGAIN),--again)

figures: $(READY) ## Measure requests, memory and time of 10,000 records; writes build/figures.json
	@$(BIN)/python -m benchmarks.figures

figures-1m: $(READY) ## Measure reconciliation at a million records, and add it to build/figures.json (some minutes)
	@$(BIN)/python -m benchmarks.reconcile.measure

requirements: $(READY) ## Compile requirements.txt and requirements-dev.txt from pyproject.toml
	@$(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" \
	  --python-version 3.13 pyproject.toml -o requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" \
	  --python-version 3.13 --group dev -c requirements.txt pyproject.toml -o requirements-dev.txt
	@$(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" \
	  --python-version 3.13 --group pyproject.toml:scan -o requirements-scan.txt
	@$(BIN)/uv pip compile --quiet --upgrade --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements" \
	  --python-version 3.13 --group pyproject.toml:bench -o requirements-bench.txt

template: $(READY) ## Compile infra/azuredeploy.json and the snapshots of tests/infra; needs the Bicep compiler
	@$(BIN)/python -m tests.infra.compiled

scan: $(READY) requirements-scan.txt ## Let a scanner (checkov, in .venv-scan) look at the snapshots; findings must be accepted with a reason
	@[ .venv-scan/bin/checkov -nt requirements-scan.txt ] || { \
	  $(BIN)/python -m venv .venv-scan && .venv-scan/bin/pip install --quiet --disable-pip-version-check -r requirements-scan.txt \
	    && touch .venv-scan/bin/checkov; }
	@$(BIN)/python -m tests.infra.scan .venv-scan/bin/checkov

clean: ## Remove what the targets made
	@rm -rf $(VENV) .venv-scan .venv-bench benchmarks/clients/node/node_modules .local build .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info \
	  cmms/build cmms/*.egg-info cmms/.mypy_cache cmms/.ruff_cache cmms/demo.sqlite3
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -e discarded.jsonl ]; then echo "discarded.jsonl stays: it holds the messages that you discarded."; fi
