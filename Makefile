# make run    results of every data set that config.yaml names under `run`
# make slurm  the same on a SLURM cluster; first fit profiles/slurm to yours (docs/how-to/cluster.md)
# make test   the tests          make lint   formatting, types, workflow
# make soak   kills jobs and Snakemake 20 times each and compares what comes of it (docs/reliability.md; KILLS=40: more)
# make bench  figures of benchmarks/latest.json and docs/benchmarks.md (ARGS=--quick: only tries it)
# make lock   envs/earmark.yaml and docs/config.md from what they repeat
# ARGS goes to Snakemake: make run ARGS="--configfile examples/spoken-digits.yaml"

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: run slurm test soak lint lock bench clean

PYTHON ?= python3.11
BIN := .venv/bin
KILLS := 20
GPU := $(shell nvidia-smi -L >/dev/null 2>&1 && echo 1 || echo 0)
export PATH := $(CURDIR)/$(BIN):$(PATH)

# What keeps Snakemake from starting, in one sentence: a target that --configfile swallows, and a lock.
define start
@swallowed='--configfiles?([[:space:]]+[^-[:space:]][^[:space:]]*)*[[:space:]]+results/'; if [[ "$${ARGS-}" =~ $$swallowed ]]; then \
  echo "earmark: --configfile takes all that follows it: name what you want, results/..., before it." >&2; exit 1; fi
@$(BIN)/snakemake $(ARGS) $(1) || { status=$$?; if compgen -G '.snakemake/locks/*' >/dev/null; then \
  echo "earmark: this folder is locked: another run is under way in it, so wait for that to end; if there is none," \
    "one was killed, so call '$(BIN)/snakemake --unlock' and then the same command again." >&2; fi; exit $$status; }
endef

run: .venv/.installed
	$(call start,--cores all --resources gpu=$(GPU))

slurm: .venv/.installed
	$(call start,--workflow-profile profiles/slurm)

test: .venv/.installed
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

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
	$(BIN)/python -m earmark.reference > docs/config.md

envs/earmark.yaml: envs/requirements.lock
	{ echo "# Made from requirements.lock by \`make lock\`: what conda installs for --software-deployment-method conda."; \
	  printf '%s\n' 'channels: [conda-forge]' 'dependencies:' '  - python=3.11' '  - pip' '  - pip:'; \
	  sed -n -E "s/^([^#].*)/      - '\1'/p" $<; } > $@

.venv/.installed: envs/requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || { \
	  echo "Earmark needs Python 3.11, and '$(PYTHON)' is not one; install it, or name yours: make PYTHON=/path/to/python3.11" >&2; \
	  exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -r envs/requirements.lock
	$(BIN)/pip install --quiet --no-deps --editable .
	touch $@

.venv-snakefmt/.installed: envs/snakefmt.lock
	$(PYTHON) -m venv .venv-snakefmt
	.venv-snakefmt/bin/pip install --quiet -r envs/snakefmt.lock
	touch $@

clean:
	rm -rf .venv .venv-snakefmt .mypy_cache .ruff_cache .pytest_cache
