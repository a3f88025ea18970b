# Every target makes what it needs: `make run` and `make test` work on a fresh clone.
PYTHON ?= python3
PORT ?= 8000
ARGS ?=
MARKS ?= not browser and not services and not fault and not clients and not loops and not timed
BROWSER_MARKS ?= browser and not pages
LEFT_OUT ?=
# A file has a site of its own. Those of the browser wait for most of their time: four of them keep two cores at work.
COMMA := ,
BY_FILE := --dist loadfile --no-loadscope-reorder
PIP_FLAGS ?= $(if $(CI),--quiet)
VENV := .venv
EXTRAS := train,services,s3,dev
AXE := node_modules/axe-core/axe.min.js
PY := $(VENV)/bin/python
DEMO := CHAMSAE_DEBUG=$${CHAMSAE_DEBUG:-1}
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# A site is many processes, and its tests start hundreds: to compile the code anew in each is a quarter of its start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup run test coverage pages daphne faults clients loops sites demo doctor lint lock tree docs bench lecture bench-rlhf bench-cycles bench-ppo mutants screenshots messages clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/ready  ## the virtual environment with everything in it

$(VENV)/ready: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" or 0)'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing; a few minutes the first time ..."
	@$(PY) -m pip install $(PIP_FLAGS) --no-compile --no-deps --require-hashes -r requirements.lock
	@# What is left is torch and what only torch needs, for its build depends on the machine's accelerator.
	@$(PY) -m pip install $(PIP_FLAGS) --no-compile --no-build-isolation -e ".[$(EXTRAS)]"
	@# All cores compile, where pip has one. Of hundreds of models few are ever used; some files are no Python of today.
	@$(PY) -m compileall -qq -j 0 -x '/tests?/|/transformers/models/' $(VENV)/lib || true
	@$(PY) -m config.translations
	@touch $@

$(AXE): package-lock.json | setup
	@$(PY) -m tests.browser.axe

run: setup  ## the site with everything that belongs to it, on PORT (8000)
	@$(DEMO) exec $(PY) manage.py run_site --port $(PORT)

test: setup $(AXE)  ## all tests that need no service; those of the browser where Chromium is
	@$(PY) -m config.translations
	$(PY) -m pytest -q -n 3 -m "$(MARKS)" $(LEFT_OUT)
	$(PY) -m pytest -q -n 4 $(BY_FILE) -m "$(BROWSER_MARKS)" tests/browser

coverage: setup  ## the tests without those of the browser, and which lines of the code they run, as a table
	@mkdir -p build/coverage
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest -q -n 3 -m "$(MARKS)" $(LEFT_OUT)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

pages: setup $(AXE)  ## every page in Chromium: accessibility in both languages and colours, hostile text
	$(PY) -m pytest -q -n 2 $(BY_FILE) -m "browser and pages"

daphne: setup $(AXE)  ## the chat in Chromium, its lines and processes cut, with Daphne as the web server
	CHAMSAE_SERVER=daphne $(PY) -m pytest -q -n 2 $(BY_FILE) tests/browser/test_chat.py tests/browser/test_lines.py

faults: setup  ## kills processes of a site and trainings at any moment, and looks whether promises are kept
	$(PY) -m pytest -q -m fault

clients: setup  ## OpenAI's clients of 2023 and of today against a running site, in .venv-clients/
	$(PY) -m pytest -q -n 2 $(BY_FILE) -m clients

loops: setup  ## the loop with tiny models of other families, on another device, and over two hosts
	$(PY) -m pytest -q -n 2 $(BY_FILE) -m loops

sites: setup $(AXE)  ## pages, faults, clients and loops in one call, lest a core waits for the other
	$(PY) -m pytest -q -n 2 $(BY_FILE) -m "(browser and pages) or fault or clients or loops"

demo: setup  ## simulated annotators teach the real model, from the first judgement to the gate
	@$(DEMO) $(PY) manage.py demo $(ARGS)

lecture: setup  ## teaches the lecture's models the default text, and holds their figures to floors
	@$(DEMO) $(PY) manage.py teach_lecture --families counting lstm --minutes 2 --floors $(ARGS)

doctor: setup  ## what is missing, and the command that mends it
	@$(DEMO) $(PY) manage.py doctor

lint: setup  ## style, types, who may import whom, migrations
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy accounts api base chat config docs feedback fine_tuning lecture metering rlhf
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) -m config.advisories

lock: $(VENV)/uv  ## requirements.lock anew: the newest releases that are a week old, with their hashes
	$(VENV)/bin/uv pip compile pyproject.toml --quiet --upgrade --universal --generate-hashes \
		$(addprefix --extra=,$(subst $(COMMA), ,$(EXTRAS))) --custom-compile-command "make lock" -o requirements.lock

$(VENV)/uv: $(VENV)/ready
	@$(PY) -m pip install $(PIP_FLAGS) "uv>=0.13"
	@touch $@

tree: setup  ## docs/tree.md from the docstrings, and the picture of the loop from docs/loop.toml
	$(PY) -m docs.tree
	$(PY) -m docs.loop

docs: $(VENV)/docs tree  ## the pages of docs/ as a site in build/docs/, which loads nothing from other hosts
	$(PY) -m sphinx -q -W --keep-going -E -b html docs build/docs
	$(PY) -m docs.offline build/docs
	@echo "open build/docs/index.html"

$(VENV)/docs: $(VENV)/ready
	@$(PY) -m pip install $(PIP_FLAGS) -e ".[docs]"
	@touch $@

bench: setup  ## tokens a second and latencies through the whole site, against the bare engine alone; ARGS=load: many streams
	$(PY) -m tests.bench $(ARGS)

bench-rlhf: setup  ## does the loop learn what people want? several tastes, three seeds, each figure beside its target
	$(PY) -m tests.bench.rlhf $(ARGS)

bench-cycles: setup  ## five cycles in sequence on the real model, with simulated people: gold reward, drift, decisions
	@$(DEMO) $(PY) manage.py simulate_site --cycles 5 $(ARGS)

bench-ppo: setup  ## our PPO beside TRL 1.12's, in a virtual environment of its own
	$(PY) -m tests.bench.ppo $(ARGS)

mutants: setup  ## plants mistakes in the code, one at a time, and shows which test finds each
	$(PY) -m tests.mutants $(ARGS)

screenshots: setup  ## every page, both languages, phone and wide, light and dark
	$(PY) -m tests.browser.screenshots $(ARGS)

messages: setup  ## collects the strings of the Korean catalogue (needs gettext)
	$(PY) manage.py makemessages -l ko --no-wrap --no-location --ignore tests

clean:  ## all that was made, but not var/, where your data lies
	rm -rf $(VENV) .venv-clients node_modules build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache screenshots
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
