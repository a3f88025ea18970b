# Every target makes what it needs: `make run` and `make test` work on a fresh clone.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: setup run test test-browser demo lint bench bench-ppo screenshots messages clean

setup: $(VENV)/ready

$(VENV)/ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing (a few minutes the first time) ..."
	@$(PY) -m pip install --quiet --progress-bar on -e ".[train,services,dev]"
	@$(PY) -m config.translations
	@touch $@

run: setup
	@CHAMSAE_DEBUG=$${CHAMSAE_DEBUG:-1} $(PY) manage.py run_site --port $(PORT)

test: setup
	@$(PY) -m config.translations
	$(PY) -m pytest -q -n 2 -m "not browser and not services"
	$(PY) -m pytest -q -m browser

demo: setup
	@CHAMSAE_DEBUG=$${CHAMSAE_DEBUG:-1} $(PY) manage.py demo

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy accounts chat config feedback rlhf
	$(VENV)/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run

bench: setup
	$(PY) -m tests.bench.serving

bench-ppo: setup
	$(PY) -m tests.bench.ppo

screenshots: setup
	$(PY) -m tests.browser.screenshots

messages: setup
	$(PY) manage.py makemessages -l ko --no-wrap --no-location

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis screenshots
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
