# `make demo` and `make test` need Python ≥ 3.11 and a package index, nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-slow soak soak-hostile fuzz verify-deps hashes lint peers bench bench-accuracy bench-report clean

demo: .venv/demo  ## the whole method on real film reviews, a few minutes
	$(BIN)/ulmfit demo --overwrite

test: .venv/dev  ## what CI runs
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python -m pytest -m "not slow and not soak" --numprocesses auto --dist worksteal

test-slow: .venv/dev  ## the long comparisons: 25,000 reviews token by token
	$(BIN)/python -m pytest -m slow

soak: .venv/dev  ## trainings killed at random moments and repeated; half an hour
	$(BIN)/python -m pytest -m soak
	$(BIN)/python -m benchmarks.soak_resume --kills 120 --record

soak-hostile: .venv/dev  ## files made to do harm, by the ten thousand, and a million texts; an hour
	$(BIN)/python -m pytest --hypothesis-profile=soak tests/hostile tests/files/test_pickled.py tests/files/test_torch_file.py \
	tests/files/test_archive.py tests/text/test_compression.py tests/commands
	$(BIN)/python -m benchmarks.long_and_many --record

fuzz: .venv/dev  ## Atheris, a minute on each reader; needs clang's runtime, which its wheel holds
	$(INSTALL) "atheris==3.0.0"
	$(BIN)/python -m benchmarks.fuzz --seconds 60

verify-deps: .venv/bin/python  ## every dependency against its recorded hash; nothing is installed
	$(BIN)/pip download --quiet --no-deps --require-hashes --dest .deps --requirement constraints-hashed.txt

# Of torch's CPU build for Python 3.11 on x86_64, which is not on PyPI: changed together with its pin.
TORCH_CPU := sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b

hashes: .venv/bin/python  ## constraints-hashed.txt anew, from the index; the lines on top of it stay
	$(INSTALL) uv
	$(BIN)/uv pip compile constraints.txt --generate-hashes --no-deps --universal --python-version 3.11 \
	--no-header --no-annotate --quiet | sed '/^torch==/a\    --hash=$(TORCH_CPU) \\' >.hashes
	{ grep '^#' constraints-hashed.txt; cat .hashes; } >.hashes.new && mv .hashes.new constraints-hashed.txt; rm -f .hashes

PEERS := fastai tfidf minilm setfit

peers: $(PEERS:%=.peers/%/ready) .venv/dev  ## environments of what we are compared with
	@for peer in $(PEERS); do test -s .peers/$$peer/ready || \
	echo "left out: $$peer, see .peers/$$peer.log; remove .peers/$$peer/ready to try again"; done

# All in one command with a named torch: otherwise pip takes the newest, and with it gigabytes of CUDA.
# What does not resolve leaves an empty file, so that the others go on.
.peers/%/ready: benchmarks/peers/%.txt
	$(PYTHON) -m venv .peers/$*
	if .peers/$*/bin/pip install --quiet --disable-pip-version-check --requirement $< >.peers/$*.log 2>&1; \
	then cp $< $@; else : >$@; tail -n 3 .peers/$*.log; fi

bench: peers  ## every comparison of speed; an hour and a half on an idle machine
	$(BIN)/python -m benchmarks.speed $(BENCH)

bench-%: peers  ## one of them, as bench-lm-step
	$(BIN)/python -m benchmarks.speed $* $(BENCH)

bench-accuracy: peers  ## accuracy beside the peers; of one set, as BENCH="--data NAME TRAIN TEST"
	$(BIN)/python -m benchmarks.accuracy $(BENCH)

bench-report: .venv/dev  ## tables and chart out of the raw lines, between two marker lines of docs/results.md
	$(BIN)/python -m benchmarks.report

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
	$(INSTALL) --editable ".[demo,sentencepiece,tensorboard,zstd,onnx,serve,hub,dev]"
	touch $@

clean:
	rm -rf .venv .peers .deps build dist *.egg-info runs .pytest_cache .ruff_cache
