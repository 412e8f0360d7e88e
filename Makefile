# The tasks of this project; `make help` lists them. Each sets up what it needs and no more.

PYTHON ?= python3
VENV ?= .venv
WORKERS ?= 2
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test check docs pictures bench clean
.DELETE_ON_ERROR:

BIN := $(VENV)/bin

# It would print that it will end; CONTRIBUTING.md says why it is still used.
export NO_MKDOCS_2_WARNING := 1

help: ## list these tasks
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

demo: $(VENV)/.installed-all ## segment a bundled image: in napari, or without a display on the command line
	@scripts/with_display.sh --if-there-is-one $(BIN)/napari-unet demo $(DEMO)

# A file of tests stays with one process, so that what its tests share is made once.
test: $(VENV)/.installed-test ## the whole test suite, in real viewers too (Xvfb where there is no display)
	@scripts/with_display.sh $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(PYTEST)

# The last two import the widgets, so Qt must find its system libraries.
check: $(VENV)/.installed-dev ## ruff, mypy, import-linter, npe2, the docs, and the wheel in a fresh environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/house.py --check
	$(BIN)/mkdocs build --strict
	scripts/with_display.sh $(BIN)/npe2 validate --imports napari-unet-cells
	scripts/with_display.sh $(BIN)/python scripts/check_wheel.py

docs: $(VENV)/.installed-docs ## the documentation, to be opened at build/docs/index.html
	$(BIN)/mkdocs build --strict

pictures: $(VENV)/.installed-test ## the pictures of the documentation, taken and drawn anew
	scripts/with_display.sh $(BIN)/python scripts/screenshots.py $(PICTURES)
	$(BIN)/python scripts/setting_pictures.py

bench: $(VENV)/.installed-bench ## time and memory of segmentation, beside other ways to tile
	$(BIN)/python benchmarks/segmentation.py $(BENCH)

clean: ## remove the virtual environment and every cache
	rm -rf $(VENV) dist build/docs .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -prune -exec rm -rf {} +

# One stamp for each set of extras: a second `make test` installs nothing.
$(VENV)/.installed-%: pyproject.toml constraints.txt
	@scripts/set_up.sh $(PYTHON) $(VENV) $*
	@touch $@
