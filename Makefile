# make demo: set-up, then the main job on simulated tissue; make test: set-up, then the tests, with
# one thread for each worker: more of them than cores wait for one another. make docs: the site.
# make evidence: hours, and it goes on where it stopped; C2LST_DATA names the real sections' folder.
# With RESULTS=benchmarks/results it goes on from what is kept there, and adds to it.
# demo and evidence take CENTRAL=builtin or a folder: the central model to start from.
VENV := .venv
PYTHON ?= python3
FROM := $(if $(CENTRAL),--central $(CENTRAL))
KEPT := $(if $(RESULTS),--results $(RESULTS))
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: demo test lint docs evidence clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv -c constraints.txt
	UV_FIND_LINKS="$${PIP_FIND_LINKS:-}" UV_LINK_MODE=copy $(BIN)/uv pip install --quiet \
		--python $(BIN)/python --compile-bytecode -e '.[dev]' -c constraints.txt
	touch $@

demo: $(VENV)/ready
	$(BIN)/c2lst simulate -o demo/slide
	$(BIN)/c2lst run demo/slide -o demo/run --preset tiny $(FROM)
	@echo "open demo/run/report.html in a browser"

test: $(VENV)/ready lint
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/ready
	UV_FIND_LINKS="$${PIP_FIND_LINKS:-}" UV_LINK_MODE=copy $(BIN)/uv pip install --quiet \
		--python $(BIN)/python -e '.[docs,explorer]' -c constraints.txt
	$(BIN)/python -m sphinx -W --keep-going docs site

evidence: $(VENV)/ready
	$(BIN)/python benchmarks/evidence.py -o evidence $(FROM) $(KEPT) --docs docs

clean:
	rm -rf $(VENV) demo site
