# `make help` lists what there is. Each set-up step leaves a stamp inside what it makes, and is done
# again only when its lock file or its sources change.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# The first Python that is new enough, else python3, which then says what it lacks.
PYTHON = $(or $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name)))),python3)
BIN := .venv/bin
# A test that hangs is shown where it does, and ends the run.
PYTEST := $(BIN)/python -m pytest -o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true

VENV := .venv/.stamp
NODE := node_modules/.stamp
BUILD := dist/.stamp
BUILD_SOURCES = $(shell find kernel_py web extension examples -type f -not -path '*/__pycache__/*') \
	$(wildcard *.config.* tsconfig*.json package.json)

.PHONY: help run test setup browser confined chromium lint format unit unit-pyodide e2e soak chaos bench docs lock clean

help: ## list the targets
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

run: browser ## open a browser with the extension, the panel and the bank; headless without a display
	@$(BIN)/python -m scripts.run $(ARGS)

test: ## everything that CI checks, cheap first
	@scripts/test.sh

setup: browser confined ## virtual environment, npm packages, build, Chromium, Python in WebAssembly

browser: $(VENV) $(NODE) $(BUILD) chromium

lint: $(VENV) $(NODE) ## formatting, style, types and layers
	@$(BIN)/ruff check --quiet --output-format=concise
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --cache-dir .cache/import-linter
	@npm run --silent lint

format: $(VENV) $(NODE) ## format everything
	@$(BIN)/ruff check --fix --quiet
	@$(BIN)/ruff format --quiet
	@npm run --silent format

unit: $(VENV) $(NODE) confined ## unit tests on CPython; ARGS="-k word" and the like narrow it
	@$(PYTEST) -m "not soak" $(ARGS)

unit-pyodide: $(VENV) $(NODE) ## the same unit tests inside Pyodide
	@node scripts/pyodide_tests.mjs -m "not soak and not oracle and not native" $(ARGS)

e2e: browser ## end-to-end tests: a real Chromium with the real extension; ARGS="e2e/test_x.py" for one file
	@$(PYTEST) $(if $(findstring e2e/,$(ARGS)),,e2e) -m "not soak" $(ARGS)

soak: $(VENV) $(NODE) ## the tests that take hours, with other seeds each round; ARGS="--hours 8"
	@$(BIN)/python -m scripts.soak $(ARGS)

chaos: browser ## kill everything in the browser, 10,000 times; ARGS="--minutes 20 --seed 7"
	@$(BIN)/python -m scripts.chaos $(ARGS)

bench: setup ## measure, in the browser and in memory
	@$(BIN)/python -m bench $(ARGS)

docs: $(VENV) ## write the pages of docs/ that are made from the code
	@$(BIN)/python -m scripts.docs

lock: ## write constraints.txt and package-lock.json anew, after a change of pins
	@$(PYTHON) -m venv --clear .cache/lock
	@.cache/lock/bin/pip install --quiet '.[dev]'
	@.cache/lock/bin/pip freeze | sed -E '/^(kernel_py|setuptools)\b/d' > constraints.txt
	@npm install --package-lock-only

clean: ## remove everything that was made
	rm -rf .venv node_modules dist out .cache *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

$(VENV): constraints.txt
	@$(PYTHON) -m scripts.venv
	@touch $@

$(NODE): package-lock.json
	@node scripts/check_node.mjs
	@echo "installing npm packages ..."
	@npm ci --silent --no-audit --no-fund
	@touch $@

$(BUILD): $(NODE) $(BUILD_SOURCES)
	@echo "building the extension ..."
	@npm run --silent build
	@mkdir -p $(@D) && touch $@

# The component of confined vats is in this user's folder of caches, and made anew when its sources have changed.
confined: $(VENV)
	@$(BIN)/python -m kernel_py.hosts.native.confined_component

chromium: $(VENV)
	@$(BIN)/python -m scripts.chromium
