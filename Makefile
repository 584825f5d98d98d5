# `make demo` and `make test` need Python ≥ 3.11 and a package index, nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow lint clean

demo: .venv/demo  ## the whole method on real film reviews, a few minutes
	$(BIN)/ulmfit demo --overwrite

test: .venv/dev  ## what CI runs
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -m "not slow"

test-slow: .venv/dev  ## the long comparisons: 25,000 reviews token by token
	$(BIN)/python -m pytest -m slow

.venv/bin/python:
	$(PYTHON) -m venv .venv

# torch is named first, at its pinned version, so that no other package brings in a newer one.
.venv/base: .venv/bin/python pyproject.toml constraints.txt
	$(INSTALL) "$$(grep '^torch==' constraints.txt)"
	touch $@

.venv/demo: .venv/base
	$(INSTALL) --editable ".[demo]"
	touch $@

.venv/dev: .venv/base
	$(INSTALL) --editable ".[demo,sentencepiece,tensorboard,zstd,dev]"
	touch $@

clean:
	rm -rf .venv build dist *.egg-info runs .pytest_cache .ruff_cache
