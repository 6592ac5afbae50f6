# Everything runs in .venv, which is made anew only when pyproject.toml changes.
PYTHON ?= python3
RUNS ?= 512
PYTEST = .venv/bin/python -m pytest -q
# One process a core, for two cores.
TWO = -n 2 --dist loadfile

.PHONY: eval test test-all test-gpu test-notebooks check links docs sessions benchmark

eval: .venv/installed
	.venv/bin/python run_eval.py evaluate finetune forget_remember --runs $(RUNS)

test: .venv/installed
	$(PYTEST) $(TWO) -rs

test-notebooks: .venv/installed
	$(PYTEST) --nbmake --nbmake-timeout=1200 notebooks

test-gpu: .venv/installed
	$(PYTEST) -m gpu

test-all: .venv/installed
	$(PYTEST) $(TWO) -m "not gpu"

check: .venv/installed links
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# mypy and mkdocs read no __path__: for them, the package's parts are linked into one folder, as a wheel has them.
links:
	mkdir -p build/typing/forget512
	ln -sfn $(CURDIR)/forget512/__init__.py $(CURDIR)/forget512/__main__.py $(CURDIR)/harness $(CURDIR)/algorithms $(CURDIR)/scoring build/typing/forget512/

# build/site/index.html. The pages are linked into one folder too, without the rest of the repository.
docs: .venv/docs-installed links
	rm -rf build/docs
	mkdir -p build/docs/scoring build/docs/tests
	ln -s $(CURDIR)/README.md $(CURDIR)/CHANGELOG.md $(CURDIR)/LICENSE $(CURDIR)/CITATION.cff $(CURDIR)/docs $(CURDIR)/deploy $(CURDIR)/notebooks build/docs/
	ln -s $(CURDIR)/scoring/*.md build/docs/scoring/
	ln -s $(CURDIR)/tests/fixtures build/docs/tests/
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build

# The outputs that the pages show. `make sessions CHECK=1` writes nothing, and fails where a page shows something else.
sessions: .venv/installed
	.venv/bin/python docs/sessions.py $(if $(CHECK),--check)

benchmark: .venv/installed
	.venv/bin/python tests/benchmarks/bench_training.py
	.venv/bin/python tests/benchmarks/bench_memory.py
	.venv/bin/python tests/benchmarks/bench_scoring.py
	.venv/bin/python tests/benchmarks/bench_store.py
	.venv/bin/python tests/benchmarks/bench_overhead.py
	.venv/bin/python tests/benchmarks/bench_imports.py

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

.venv/docs-installed: .venv/installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@
