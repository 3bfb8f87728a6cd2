# gridbot's set-up in one place: `make demo` and `make test` install what they need themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .make
# The tests wait for servers and processes about as much as they compute.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 2) * 3 // 2)')

# Where nothing may be compiled for good, each worker rewrites all tests for itself, and each of the
# many processes that tests start compiles the project anew.
test coverage: export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test coverage check serve install backtest pages

demo: install .env
	$(BIN)/python manage.py demo

serve: install .env
	GRIDBOT_DEBUG=true DATABASE_URL=$${DATABASE_URL:-sqlite:///demo.sqlite3} $(BIN)/python manage.py runserver

test: install backtest
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal
	$(BIN)/python -m gridbot_site.testing $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m django_db $(ONCE)

# What the database makes no difference to is asked on SQLite alone.
ONCE := --ignore gridbot_site/tests/isolation --ignore gridbot_site/tests/test_browser.py \
	--ignore gridbot_site/tests/test_dashboard_browser.py

# Measuring takes as long again as the tests.
coverage: install backtest
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-fail-under=90

check: $(STAMPS)/dev backtest
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python manage.py check --settings gridbot_site.settings_test
	$(BIN)/python manage.py makemigrations --check --dry-run --settings gridbot_site.settings_test

# What the settings say of themselves; a test compares.
pages: install
	$(BIN)/python manage.py settings --markdown --settings gridbot_site.settings_test > docs/configuration.md
	$(BIN)/python manage.py settings --example --settings gridbot_site.settings_test > .env.example

install: $(STAMPS)/runtime

# Backtests and Parquet files: some 250 MB that capture and the admin do without.
backtest: $(STAMPS)/backtest

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("gridbot needs Python 3.11 to 3.13; say which with: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(STAMPS)/runtime: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/backtest: requirements-backtest.txt $(STAMPS)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-backtest.txt
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/dev: requirements-dev.txt $(STAMPS)/runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@mkdir -p $(STAMPS) && touch $@

.env: | install
	$(BIN)/python -m gridbot_site.make_env
