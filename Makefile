# rawkd: `make demo` shows what it does, `make test` proves it, `make lint` reads it, `make docs` builds the site.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs
DEMO := demo-output
EXAMPLES := $(wildcard examples/*.dng examples/*.crw examples/*.cr2 examples/*.nef examples/*.arw)

.PHONY: all demo test lint format docs reference bench train-next wheel wheelhouse-check app docker clean

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

# Small programs that the tests use, each with its package: exiftool judges our DNGs, the others our plug-ins and menu
# entries. Without them those tests are skipped.
TOOLS := exiftool:libimage-exiftool-perl lua5.1:lua5.1 desktop-file-validate:desktop-file-utils

$(VENV)/tools.stamp: Makefile | $(BIN)/python
	@packages=""; \
	for tool in $(TOOLS); do \
	  command -v "$${tool%%:*}" >/dev/null || packages="$$packages $${tool##*:}"; \
	done; \
	if [ -n "$$packages" ] && command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$packages) \
	    || echo "not installed:$$packages; the tests that need them are skipped"; \
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

test: $(VENV)/full.stamp $(VENV)/tools.stamp
	$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0

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

# Where the checks below build; it takes about 1.5 GB.
BUILD ?= build/install
ENVIRONMENT := $(BUILD)/environment

SOURCES := $(shell find rawkd models integrations -type f -not -name '*.pyc')

$(BUILD)/wheel.stamp: pyproject.toml README.md $(SOURCES)
	$(PYTHON) -m venv $(ENVIRONMENT)
	rm -rf $(BUILD)/wheel
	$(ENVIRONMENT)/bin/pip wheel --quiet --no-deps --wheel-dir $(BUILD)/wheel .
	touch $@

# Installs the wheel with pip, pipx and uv from a folder of wheels, without network, and denoises the examples.
wheelhouse-check: $(BUILD)/wheel.stamp
	$(ENVIRONMENT)/bin/pip install --quiet pipx uv
	$(ENVIRONMENT)/bin/pip download --quiet -c constraints.txt -d $(BUILD)/wheelhouse $(BUILD)/wheel/*.whl
	PATH="$(abspath $(ENVIRONMENT))/bin:$$PATH" $(PYTHON) packaging/check_wheelhouse.py $(BUILD)/wheel/*.whl $(BUILD)/wheelhouse

# The one-folder app in $(BUILD)/app/rawkd, and a check that it writes what a pip install writes.
app: $(BUILD)/wheel.stamp
	$(ENVIRONMENT)/bin/pip install --quiet --force-reinstall --no-deps $(BUILD)/wheel/*.whl
	$(ENVIRONMENT)/bin/pip install --quiet -c constraints.txt "$$(echo $(BUILD)/wheel/*.whl)[app]"
	$(ENVIRONMENT)/bin/pyinstaller --noconfirm --log-level WARN --distpath $(BUILD)/app --workpath $(BUILD)/work packaging/rawkd.spec
	$(PYTHON) packaging/check_app.py $(BUILD)/app/rawkd $(ENVIRONMENT)/bin/rawkd

# A container image; nothing is built where no docker daemon runs.
docker:
	@if docker info >/dev/null 2>&1; then \
	  docker build --tag rawkd . && docker run --rm --network none rawkd --version \
	    && docker run --rm --network none --volume "$(CURDIR)/examples:/photos:ro" rawkd inspect canon-s40-box.crw; \
	else echo "docker is not running here, so no image is built"; fi

clean:
	rm -rf $(VENV) $(DEMO) build dist
