# rawkd: `make demo` shows what it does, `make test` proves it, `make lint` reads it, `make docs` builds the site.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
DEMO := demo-output
EXAMPLES := $(wildcard examples/*.dng examples/*.crw examples/*.cr2 examples/*.nef examples/*.arw)

.PHONY: all demo test lint format docs reference bench train-next wheel clean

all: lint test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What a photographer needs: no torch.
$(VENV)/plain.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e .
	touch $@

# What the tests and the tools need: everything.
$(VENV)/full.stamp: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet -c constraints.txt -e '.[torch,cluster,docs,dev]'
	touch $@ $(VENV)/plain.stamp

# exiftool judges our DNGs; without it those tests are skipped.
$(VENV)/exiftool.stamp: | $(BIN)/python
	@if ! command -v exiftool >/dev/null && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq libimage-exiftool-perl) \
	    || echo "exiftool is not installed; the tests that need it are skipped"; \
	fi
	@touch $@

demo: $(VENV)/plain.stamp
	@[ -n "$(EXAMPLES)" ] || { echo "there are no raw files in examples/"; exit 1; }
	mkdir -p $(DEMO)
	$(BIN)/rawkd denoise --overwrite -o $(DEMO)/ $(EXAMPLES)
	$(BIN)/rawkd denoise --overwrite --quiet --format jpeg -o $(DEMO)/after/ $(EXAMPLES)
	$(BIN)/rawkd denoise --overwrite --quiet --format jpeg --strength 0 -o $(DEMO)/before/ $(EXAMPLES)
	@echo
	@echo "Denoised DNGs are in $(DEMO)/; as pictures they are in $(DEMO)/after/, not denoised in $(DEMO)/before/."

test: $(VENV)/full.stamp $(VENV)/exiftool.stamp
	$(BIN)/python -m pytest

lint: $(VENV)/full.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(MKDOCS) build --strict

format: $(VENV)/full.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The site in build/site; nothing is loaded from elsewhere.
docs: $(VENV)/full.stamp
	$(MKDOCS) build --strict

# The option tables of docs/reference.md, from the commands themselves.
reference: $(VENV)/full.stamp
	$(BIN)/python scripts/reference.py

bench: $(VENV)/full.stamp
	$(BIN)/python -m pytest benchmarks --benchmark-enable --benchmark-only

# Goes on with the first unfinished training of a queue file.
QUEUE ?= benchmarks/queue.txt
train-next: $(VENV)/full.stamp
	$(BIN)/python benchmarks/train_queue.py $(QUEUE)

wheel: $(VENV)/full.stamp
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf $(VENV) $(DEMO) build dist
