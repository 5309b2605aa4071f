# Every command of the project. Needs python3 (3.11 or newer, with venv), make and a package index, nothing else.
#
# .venv is filled from requirements/*.txt. Its stamps carry a checksum of what they were made from, so that a new
# checkout with the same lock installs nothing, and an install that was cut short leaves no stamp.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input -qq
STAMPS := $(VENV)/.stamps

runtime_lock := requirements/runtime.txt
dev_lock := requirements/dev.txt
VENV_MADE := $(STAMPS)/venv
# The editable install names this folder, so a moved checkout needs it anew.
RUNTIME := $(STAMPS)/runtime-$(shell cksum < $(runtime_lock) | tr -d ' ')
DEV := $(STAMPS)/dev-$(shell cksum < $(dev_lock) | tr -d ' ')
PACKAGE := $(STAMPS)/package-$(shell { cat pyproject.toml; pwd -P; } | cksum | tr -d ' ')

# Extras stay in the locks: with hashes pip takes `coverage[toml]` for another package than a pinned `coverage`.
# The one tool that make lock needs beyond python3; it lives in build/ and is no part of the locks.
UV_VERSION := 0.13.9
LOCK_VENV := build/lock-venv
COMPILE = UV_NO_CONFIG=1 UV_CUSTOM_COMPILE_COMMAND="make lock" $(LOCK_VENV)/bin/uv pip compile pyproject.toml --quiet \
	--universal --python-version 3.11 --generate-hashes --no-strip-extras --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

# Whole files go to one process, so that what a file sets up once is set up once.
PYTEST = $(PY) -m pytest --numprocesses=auto --dist=loadfile $(if $(DATA),--data="$(DATA)") $(if $(VECTORS),--vectors="$(VECTORS)") --cov --cov-report=term $(ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-long mutants bench attacks lint lock venv clean distclean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)$$/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

demo: $(RUNTIME) $(PACKAGE) ## run the main job: relay, phone, laptop (EXPORT=path to an export of your own)
	@$(PY) demo/main_job.py $(if $(EXPORT),--export "$(EXPORT)")

test: lint ## lint, then all tests with branch coverage (DATA=dir, VECTORS=dir, ARGS=pytest options)
	@HYPOTHESIS_PROFILE=quick $(PYTEST)

test-long: lint ## the same with the long profiles, then the mutants
	@HYPOTHESIS_PROFILE=long $(PYTEST) --long
	@$(PY) tests/mutants/run.py

mutants: $(DEV) $(PACKAGE) ## break the code on purpose and show which test sees it (MUTANT=name of one)
	@$(PY) tests/mutants/run.py $(MUTANT)

bench: $(DEV) $(PACKAGE) ## measure against the floors (EXPORT=path, needed); also writes build/bench.json
	@test -n "$(EXPORT)" || { echo "make bench needs EXPORT=path/to/an/export" >&2; exit 2; }
	@mkdir -p build
	@$(PY) tests/benchmarks/bench.py "$(EXPORT)" --json build/bench.json

attacks: $(DEV) $(PACKAGE) ## write docs/attacks.md anew: what a lying relay or a hostile device does, and what comes of it
	@$(PY) -m pytest tests/fault/test_attacks.py tests/fault/test_forks.py tests/fault/test_repair_lies.py \
		tests/fault/test_hostile_devices.py tests/fault/test_hostile_feeds.py tests/fault/test_hostile_removals.py --write-docs -q

lint: $(DEV) $(PACKAGE) ## ruff, mypy --strict, import-linter
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -c 'from importlinter.cli import lint_imports_command as main; main()' --no-logo

lock: ## resolve requirements/*.txt anew from pyproject.toml (UPGRADE=1 takes newer releases)
	@$(call check_python)
	@test -x $(LOCK_VENV)/bin/uv || $(PYTHON) -m venv --clear $(LOCK_VENV)
	@$(LOCK_VENV)/bin/python -m pip --disable-pip-version-check -qq install uv==$(UV_VERSION)
	@$(COMPILE) --group dev -o $(dev_lock)
	@$(COMPILE) --group build -c $(dev_lock) -o $(runtime_lock)

venv: $(DEV) $(PACKAGE) ## make and fill .venv, and nothing else

clean: ## remove what builds and tests leave behind
	@rm -rf build dist .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find client demo protocol server tests -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## the same, and .venv with it
	@rm -rf $(VENV)

define check_python
command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "sealkeep needs Python 3.11 or newer: no '$(PYTHON)' found (set PYTHON=...)" >&2; exit 1; }; \
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "sealkeep needs Python 3.11 or newer: '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1) (set PYTHON=...)" >&2; exit 1; }; \
"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || \
	{ echo "sealkeep needs Python's venv module: '$(PYTHON)' comes without it (Debian and Ubuntu: package python3-venv)" >&2; exit 1; }
endef

# An interpreter that went away under .venv, or an install that was cut short (pip may take a package that is half
# there for a whole one), means a new .venv.
ifneq ($(shell test -x $(PY) && test ! -e $(STAMPS)/installing && echo yes),yes)
.PHONY: $(VENV_MADE)
endif

$(VENV_MADE):
	@$(call check_python)
	@echo "Making $(VENV)"
	@"$(PYTHON)" -m venv --clear $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(RUNTIME): $(VENV_MADE)
	@echo "Installing $(runtime_lock) into $(VENV)"
	@rm -f $(STAMPS)/runtime-* $(STAMPS)/dev-* $(STAMPS)/package-*
	@touch $(STAMPS)/installing
	@$(PIP) install --require-hashes -r $(runtime_lock)
	@rm $(STAMPS)/installing
	@touch $@

$(DEV): $(RUNTIME)
	@echo "Installing $(dev_lock) into $(VENV)"
	@rm -f $(STAMPS)/dev-*
	@touch $(STAMPS)/installing
	@$(PIP) install --require-hashes -r $(dev_lock)
	@rm $(STAMPS)/installing
	@touch $@

$(PACKAGE): $(RUNTIME)
	@rm -f $(STAMPS)/package-*
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(PY) -m pip --disable-pip-version-check -q check
	@touch $@
