# `make learn` is all that a learner needs.
PYTHON ?= python3
PY := .venv/bin/python
FIRST := chapters/ch1_probing_basics/part1_read_activations.ipynb
LAB_ARGS ?=
ROOT_ARGS := $(if $(filter 0,$(shell id -u)),--allow-root)
REQUIREMENTS := requirements.txt requirements-model.txt constraints.txt pyproject.toml
# One process a core, each with one thread; a notebook run takes up to 2.5 GB, hence not more than four.
PYTEST := HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal

.PHONY: learn setup test test-fast lint build bench grade-demo doctor clean

learn: setup  ## open the first lesson in JupyterLab
	$(PY) -m jupyter lab --LabApp.default_url=/lab/tree/$(FIRST) $(ROOT_ARGS) $(LAB_ARGS)

setup: .venv/.ready  ## environment, packages, embedded language model
.venv/.ready: $(REQUIREMENTS)
	$(PYTHON) utils/course/install.py
.venv/.ready-dev: $(REQUIREMENTS) requirements-dev.txt
	$(PYTHON) utils/course/install.py --dev

test: lint  ## everything
	$(PYTEST) -rfEs

test-fast: .venv/.ready-dev  ## without the language model, workers, notebook runs and mistakes
	$(PYTEST) -m "not slow"

lint: .venv/.ready-dev
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m basedpyright

build: setup  ## notebooks from their sources
	$(PY) -m utils.course build

bench: .venv/.ready-dev  ## our code against its peers, minutes
	for file in tests/benchmarks/bench_*.py; do $(PY) $$file || exit 1; done

grade-demo: setup  ## twenty made-up submissions, assigned, graded and reported
	$(PY) -m utils.course.grading.demo

doctor: setup  ## can this machine run the course?
	$(PY) -m utils.course doctor

clean:  ## remove the environment (caches and progress stay)
	rm -rf .venv build *.egg-info
