# `make` alone lists the targets.

PYTHON ?= python3
CONFIG ?= conf/demo.yaml
# Test files that run at the same time; each takes up to 3 GiB of memory.
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
TORCH := $(shell sed -n '/^torch==/p' constraints.txt)
HEADRACE := $(BIN)/headrace
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

.SILENT:
.PHONY: help setup java demo check test test-all docs bench bench-quality clean

help: ## List the targets
	sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F '|' '{printf "%-16s %s\n", $$1, $$2}'

setup: java $(STAMP) ## Make .venv and install everything in it (PYTHON=... chooses the interpreter)

$(STAMP): pyproject.toml constraints.txt
	$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		$(PYTHON) -c '$(SUPPORTED)' 2>/dev/null || { \
			echo "Headrace needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is none of them:" \
				"$$($(PYTHON) --version 2>&1 | tail -n 1)" >&2; \
			echo "Name another one: make setup PYTHON=python3.12" >&2; exit 1; }; \
		echo "Making $(VENV) with $$($(PYTHON) --version)"; \
		$(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python -c '$(SUPPORTED)' || { \
		echo "$(VENV) holds $$($(BIN)/python --version); Headrace needs 3.11, 3.12 or 3.13." \
			"Remove $(VENV) and run make setup again" >&2; exit 1; }
	echo "Installing $(TORCH)"
	$(PIP) install --constraint constraints.txt $(TORCH)
	echo "Installing Headrace and the rest; Spark alone is 400 MB, so the first time takes minutes"
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	touch $@

# Spark runs on Java 17 or 21, the one in JAVA_HOME or else the one on the PATH.
java:
	java="$${JAVA_HOME:+$$JAVA_HOME/bin/}java"; \
	release() { "$$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p'; }; \
	found=$$(release); \
	if [ -z "$$found" ] && [ -z "$${JAVA_HOME:-}" ] && [ "$$(id -u)" = 0 ] \
			&& [ -f /etc/debian_version ] && command -v apt-get >/dev/null; then \
		echo "Installing Java for Spark by apt-get"; \
		apt-get update -qq; \
		for number in 17 21; do \
			DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
				openjdk-$$number-jre-headless >/dev/null && break; \
		done; \
		found=$$(release); \
	fi; \
	case "$$found" in 17|21) exit 0;; esac; \
	{ echo "Spark needs Java 17 or 21; '$$java' is $${found:-missing}. Install one:"; \
	echo "  Debian, Ubuntu: sudo apt-get install openjdk-17-jre-headless"; \
	echo "                  (where there is no 17: openjdk-21-jre-headless)"; \
	echo "  Fedora:         sudo dnf install java-21-openjdk-headless"; \
	echo "  macOS:          brew install openjdk@17"; \
	echo "                  export JAVA_HOME=\"\$$(brew --prefix openjdk@17)\""; \
	echo "and point JAVA_HOME at it where several are installed; then run make again."; } >&2; \
	exit 1

demo: setup ## Generate the log of a made-up shop, run the whole line, show one user
	$(HEADRACE) generate --config $(CONFIG)
	$(HEADRACE) run --config $(CONFIG)
	$(HEADRACE) show --config $(CONFIG) --user first
	$(HEADRACE) show --config $(CONFIG) --user first --scenario home
	$(HEADRACE) show --config $(CONFIG) --user first --scenario cart
	$(HEADRACE) show --config $(CONFIG) --item first
	echo "Where the results lie:"
	$(HEADRACE) status --config $(CONFIG)

check: setup ## Lint, format, types and layers
	$(BIN)/ruff check --quiet --output-format concise
	$(BIN)/ruff format --check --quiet --output-format concise || { \
		echo "$(BIN)/ruff format does it" >&2; exit 1; }
	$(BIN)/mypy --no-error-summary
	# Its cache misses an import of a module that was made after the importing file was read.
	report=$$($(BIN)/lint-imports --no-logo --no-cache) || { echo "$$report" >&2; exit 1; }
	echo "Lint, format, types and layers are in order"

test: check ## Set up, check and run the fast tests
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow"

test-all: check ## The same with the slow tests
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

docs: setup ## Build the manual as a site in build/docs (a broken link is an error)
	$(BIN)/python -m docs.reference
	$(BIN)/python -m docs.build_site build/docs
	echo "Open build/docs/index.html"

bench: setup ## Measure speed as ratios to stated baselines (never fails on time)
	$(BIN)/python -m tests.bench

bench-quality: setup ## Measure accuracy on public data next to baselines (hours; kept runs are not repeated)
	$(BIN)/python -m tests.bench.quality

clean: ## Remove the demo's results, caches and build output; .venv stays
	rm -rf build dist demo *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
