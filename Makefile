# make run    results of every data set that config.yaml names under `run`
# make slurm  the same on a SLURM cluster; first fit profiles/slurm to yours (docs/how-to/cluster.md)
# make track  a recording of any length through a data set's model, to a page: make track DATASET=band FILE="~/my song.mp3"
# make report  report.zip of what make run made: its tables, figures and pages, and how each was made
# make test   the tests          make lint   formatting, types, workflow
# make test-second  the unit tests by another Python, and the same results from both (SECOND=/path/to/python3.12: by that one)
# make test-gpu  a GPU computes what the CPU does, and the workflow runs on it
# make soak   kills jobs and Snakemake 20 times each and compares what comes of it (docs/reliability.md; KILLS=40: more)
# make bench  figures of benchmarks/latest.json and docs/benchmarks.md (ARGS=--quick: only tries it)
# make lock   envs/earmark.yaml and docs/config.md from what they repeat
# ARGS goes to Snakemake: make run ARGS="--configfile examples/spoken-digits.yaml"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: run track slurm report test test-gpu test-second show-second soak lint lock bench clean

BIN := .venv/bin
KILLS := 20

# Pythons that serve, newest first. A name on the path may be a shim of one that does not run, so each is tried.
SERVING := 3.13 3.12 3.11
newest = $(shell type -aP $(addprefix python,$(1)) | while IFS= read -r name; do \
  "$$name" -c 'import ensurepip, venv' </dev/null >/dev/null 2>&1 && { echo "$$name"; break; }; done)
serves = -c 'import ensurepip, sys, venv; sys.exit("%d.%d" % sys.version_info[:2] not in sys.argv[1:])'
PYTHON ?= $(call newest,$(SERVING))
SECOND ?= $(call newest,$(filter-out $(shell $(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])'),$(SERVING)))

# 1 where PyTorch, once installed, can use a GPU that the system lists; one sentence where it cannot. GPU=0: the CPU.
GPU = $(shell if nvidia-smi -L >/dev/null 2>&1; then PYTHONPATH=src $(BIN)/earmark --gpus || echo 0; else echo 0; fi)
export PATH := $(CURDIR)/$(BIN):$(PATH)

# What keeps Snakemake from starting, in one sentence: a target that --configfile swallows, and a lock.
define start
@swallowed='--configfiles?([[:space:]]+[^-[:space:]][^[:space:]]*)*[[:space:]]+results/[^[:space:]]*'; \
  if [[ "$${ARGS-}" =~ $$swallowed && $${BASH_REMATCH[0]} != *.y?(a)ml ]]; then \
  echo "earmark: --configfile takes all that follows it: name what you want, results/..., before it." >&2; exit 1; fi
@$(BIN)/snakemake $(1) $(ARGS) || { status=$$?; if compgen -G '.snakemake/locks/*' >/dev/null; then \
  echo "earmark: this folder is locked: another run is under way in it, so wait for that to end; if there is none," \
    "one was killed, so call '$(BIN)/snakemake --unlock' and then the same command again." >&2; fi; exit $$status; }
endef

# A virtual environment in folder $(1) by the Python $(2), which $(3)=... names. One that is there keeps its Python.
define install
@"$(1)/bin/python" $(serves) $(SERVING) 2>/dev/null || { python="$(2)"; "$$python" $(serves) $(SERVING) 2>/dev/null || { \
  echo "Earmark needs Python 3.13, 3.12 or 3.11 with its module venv,$${python:+ and '$$python' is not one;}" \
    "install one, or name yours: $(3)=/path/to/python3.13" >&2; exit 1; }; "$$python" -m venv --clear $(1); }
endef

run: .venv/.installed
	$(call start,--resources gpu=$(GPU) --cores all)

# Told through the environment, as it stands: names of files hold quotes and dollars.
$(foreach name,DATASET FILE LAYER METHOD K,$(eval track: export EARMARK_TRACK_$(name) = $$(value $(name))))
track: .venv/.installed
	$(call start,--resources gpu=$(GPU) --cores all)

slurm: .venv/.installed
	$(call start,--workflow-profile profiles/slurm)

report: .venv/.installed
	$(call start,--report report.zip)

# Three at a time on two cores: one of them waits for the cluster, most of the time. In the order of tests/conftest.py.
test: .venv/.installed
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

test-gpu: .venv/.installed
	$(BIN)/pytest tests/gpu $(ARGS)

show-second:
	@echo "$(SECOND)"

test-second: .venv/.installed .venv-second/.installed
	.venv-second/bin/pytest -n 2 --dist loadfile tests/unit $(ARGS)
	EARMARK_SECOND_PYTHON=$(CURDIR)/.venv-second/bin/python $(BIN)/pytest tests/workflow/test_pythons.py $(ARGS)

soak: .venv/.installed
	EARMARK_KILLS=$(KILLS) $(BIN)/pytest -s tests/workflow/test_recovery.py -k killed $(ARGS)

lint: .venv/.installed .venv-snakefmt/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	.venv-snakefmt/bin/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

bench: .venv/.installed
	$(BIN)/python -m benchmarks.run --gpu $(GPU) $(ARGS)

lock: .venv/.installed envs/earmark.yaml
	$(BIN)/python -m earmark.plan.reference > docs/config.md

envs/earmark.yaml: envs/requirements.lock
	{ echo "# Made from requirements.lock by \`make lock\`: what conda installs for --software-deployment-method conda."; \
	  printf '%s\n' 'channels: [conda-forge]' 'dependencies:' '  - python=3.11' '  - pip' '  - pip:'; \
	  sed -n -E "s/^([^#].*)/      - '\1'/p" $<; } > $@

.venv/.installed .venv-second/.installed: %/.installed: envs/requirements.lock pyproject.toml
	$(call install,$*,$(if $(filter .venv,$*),$(PYTHON),$(SECOND)),$(if $(filter .venv,$*),make PYTHON,make test-second SECOND))
	$*/bin/pip install --quiet -r envs/requirements.lock
	$*/bin/pip install --quiet --no-deps --editable .
	touch $@

.venv-second/.installed: | .venv/.installed

.venv-snakefmt/.installed: envs/snakefmt.lock
	$(call install,.venv-snakefmt,$(PYTHON),make PYTHON)
	.venv-snakefmt/bin/pip install --quiet -r envs/snakefmt.lock
	touch $@

clean:
	rm -rf .venv .venv-second .venv-snakefmt .mypy_cache .ruff_cache .pytest_cache
