# Everything is done by these words; the first use sets up .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DOCS_READY := $(VENV)/.docs-ready

.PHONY: setup demo real test long coverage slurm bench checks docs format clean

setup: $(READY)

$(READY): pyproject.toml docker/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint docker/constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/cxrpt demo --out demo

real: $(READY)
	$(BIN)/cxrpt demo --real "$${CXRPT_REAL_DATA:?set CXRPT_REAL_DATA to the folder of public samples}" --out real

test: $(READY)
	$(BIN)/python -m pytest -q tests

long: $(READY)
	CXRPT_LONG_TESTS=1 $(BIN)/python -m pytest -q -m long tests

# All lines but those that only a GPU runs; at least 90 % (pyproject.toml). Takes a third longer than the tests alone.
coverage: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -q tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

slurm: $(READY)
	CXRPT_SLURM_TESTS=1 $(BIN)/python -m pytest -q -m slurm tests/slurm

bench: $(READY)
	$(BIN)/python benchmarks/all_on_cpu.py

checks: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_house_rules.py

docs: $(DOCS_READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet --site-dir site
	@echo "open site/index.html (its search needs a server: $(BIN)/python -m http.server -d site)"

$(DOCS_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint docker/constraints.txt --editable '.[docs]'
	touch $@

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf demo real site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .coverage*
