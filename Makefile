# Targets print their own help. Everything works in .venv at the root.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo test torture simulate check format bench bench-peers bench-report vendor clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 15

install: $(STAMP)  ## Make .venv with everything (called by the other targets)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Holdfast needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Say make PYTHON=python3.11"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
	  || $(PYTHON) -m venv .venv >/dev/null 2>&1 \
	  || { $(PYTHON) -m venv --clear --without-pip .venv && $(PYTHON) -m pip --python $(BIN)/python install -q pip; } 2>/dev/null \
	  || $(PYTHON) -m virtualenv -q .venv 2>/dev/null || uv venv --clear --seed -q .venv 2>/dev/null \
	  || { rm -rf .venv; echo "No virtual environment can be made: install python3-venv (Debian: apt-get install python3-venv) and call make again"; exit 1; }
	$(BIN)/python -m pip install -q --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e . --group dev
	@touch $(STAMP)

demo: install  ## The photo upload, end to end, with failures; KEEP=1 leaves it up
	$(BIN)/python -m examples.photo_upload.demo

check: install  ## Lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check  ## Everything a newcomer needs to trust it
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

.PHONY: coverage mutants
coverage: install  ## Is each module of engine and wire covered by its own test file alone?
	$(BIN)/python tools/covered.py

mutants: install  ## Change each rule in turn: does a test notice? MODULE="head limits", else all
	$(BIN)/python tools/mutants.py $(MODULE)

torture: install  ## Faults of all kinds for 20 minutes; SECONDS= bounds it, SEED= repeats one
	cd tests && ../$(BIN)/python -m support.torture

simulate: install  ## The whole daemon in virtual time; SEEDS= many of them, SEED= repeats one
	cd tests && ../$(BIN)/python -m support.simulation

format: install  ## Put the code in form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## Measure this machine; QUICK=1 one short run, ONLY=enqueue,drain, BACKLOG=10m
	$(BIN)/python -m bench

.PHONY: screenshots
screenshots: install  ## Pictures of the dashboard at work, into docs/images
	$(BIN)/python -m bench.screenshots

bench-peers: install  ## Measure the field beside it; PEERS=bullmq,beanstalkd these only, QUICK=1 tiny
	$(BIN)/python -m bench.peers

bench-report: install  ## Table and plots from bench/published; RESULTS="files" are taken in before
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --group bench
	$(BIN)/python -m bench.report $(RESULTS)

.PHONY: reference site
reference: install  ## The parts of docs/reference that the code tells, anew
	$(BIN)/python -m tools.reference

site: install  ## The documentation as a site, in build/site; a warning is an error
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt --group site
	$(BIN)/python -m tools.site

vendor:  ## Fetch the dashboard's vendored files anew from npm
	$(PYTHON) tools/vendor.py

.PHONY: words
words:  ## Every text that a person may read, in one list; KIND=error one kind
	@$(PYTHON) tools/words.py $(KIND)

clean:  ## Remove what was made
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
