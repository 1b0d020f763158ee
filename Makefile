# Two commands on a fresh machine: `make demo` and `make test`. Each sets up what it needs (python3 >= 3.11).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-random test-real test-systemd test-container test-browser screenshots crash crash-points simulate overflow mutants lint format types arch check bench bench-parts lock clean site coverage changelog distribution release

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(READY) ## Make the virtual environment from the committed lock

$(READY): requirements/dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Crosshaul needs Python 3.11 or later")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(READY) ## Show a complete run on an embedded partner account, in under a minute
	$(BIN)/crosshaul demo

HERE := not real and not host and not container and not browser
PARALLEL := --numprocesses 4 --dist loadfile
RANDOM := -o addopts='--strict-markers --import-mode=importlib -p randomly'

test: $(READY) ## Unit, contract, property, fault and system tests
	$(PYTEST) -m '$(HERE) and not alone' $(PARALLEL)
	$(PYTEST) -m '$(HERE) and alone'

test-random: $(READY) ## The same tests in random order; the seed is printed
	$(PYTEST) $(RANDOM) -m '$(HERE) and not alone' $(PARALLEL)
	$(PYTEST) $(RANDOM) -m '$(HERE) and alone'

test-real: $(READY) ## The end-to-end cases against Ceph's gateway (Debian, root; installs it)
	tests/real/run $(BIN)/python

test-systemd: $(READY) ## The service under a real systemd (Debian, root; installs it)
	tests/host/run $(BIN)/python

test-container: $(READY) ## The image, built and run by podman (Debian, root; installs it)
	tests/container/run $(BIN)/python

test-browser: $(READY) ## The status page in a real browser (Debian, root; installs Chromium)
	tests/browser/run $(BIN)/python

screenshots: $(READY) ## Take the pictures of the status page for the docs again
	tests/browser/run $(BIN)/python screenshots

PASSINGS ?= 2
crash-points: $(READY) ## Kill the daemon at every point where its state changes, and check that nothing is lost
	$(BIN)/python tests/crash/points.py --passings $(PASSINGS)

KILLS ?= 1000
crash: $(READY) ## Kill the daemon KILLS times at random moments under load, and check that nothing is lost
	$(BIN)/python tests/crash/kills.py --kills $(KILLS)

SEEDS ?= 10000
simulate: $(READY) ## Run SEEDS simulated stories in virtual time, or replay one: SEED=n
	PYTHONPATH=tests $(BIN)/python -m simulation.run $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

overflow: $(READY) ## Make 60,000 files while the daemon is stopped: more than the kernel's event queue holds
	OVERFLOW=60000 $(PYTEST) tests/watching/test_kernel.py -k overflown

mutants: $(READY) ## Apply deliberate bugs, and check that a test catches each
	$(BIN)/python tests/mutants/run.py

lint: $(READY) ## Style, spelling and likely mistakes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

format: $(READY) ## Rewrite the code in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(READY) ## mypy: the package strictly, the tests without the need for annotations
	$(BIN)/mypy

arch: $(READY) ## Check the import rules (import-linter)
	$(BIN)/lint-imports

site: $(READY) ## Build the documentation site into .site, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

coverage: $(READY) ## Measure branch coverage of unit, contract and property tests; fail if it falls
	$(PYTEST) -m 'not alone' $(PARALLEL) --cov --cov-report= $(MEASURED)
	$(PYTEST) -m alone --cov --cov-append --cov-report=term --cov-fail-under=$(COVERED) $(MEASURED)
MEASURED := tests/unit tests/contract tests/properties tests/faults tests/watching/test_intake.py tests/watching/test_watch.py
COVERED := 80

changelog: $(READY) ## Show the notes of the next release
	$(BIN)/python -m towncrier build --draft --version next

distribution: $(READY) ## Build wheel and sdist, and try each in a clean environment
	tools/check-distribution $(BIN)/python

release: $(READY) ## Release VERSION=1.2.3: date the changelog, build, try, commit, tag
	tools/release $(BIN)/python $(VERSION)

check: lint types arch test ## Everything that a change has to pass

bench: $(READY) .venv-bench/.ready ## Compare with s5cmd, rclone and the AWS CLI (an hour; nginx with Lua from Debian)
	benchmarks/run $(BIN)/python

.venv-bench/.ready: requirements/bench.txt
	$(PYTHON) -m venv --clear .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench.txt
	touch $@

bench-parts: $(READY) ## Measure single parts: journal, signer, HTTP client, memory, start
	$(BIN)/python benchmarks/journal.py
	$(BIN)/python benchmarks/sigv4.py
	$(BIN)/python benchmarks/wire.py
	$(BIN)/python benchmarks/large_files.py
	$(BIN)/python benchmarks/short_sessions.py
	$(BIN)/python benchmarks/start.py

lock: $(READY) ## Renew the lock from the ranges in pyproject.toml
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --output-file requirements/run.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group test --constraints requirements/run.txt --output-file requirements/test.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --group dev --constraints requirements/test.txt --output-file requirements/dev.txt
	$(BIN)/uv pip compile $(LOCK) --group build --constraints requirements/dev.txt --output-file requirements/build.txt
	$(BIN)/uv pip compile $(LOCK) --group bench --output-file requirements/bench.txt
LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

clean: ## Remove everything that make created
	rm -rf $(VENV) .venv-bench dist build .mypy_cache .ruff_cache .hypothesis .import_linter_cache .demo
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
