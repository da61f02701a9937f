# make demo and make test set up what they need, once; `make` alone lists the targets.
SHELL := /bin/bash
PYTHON := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help setup browser slurm node demo check test notebooks bench gpu reliability lint scripts format lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile

setup: .venv/.ready  ## the virtual environment .venv with every dependency, as locked

# Another interpreter: make setup PYTHON3=/path/to/python3.12
.venv/.ready: requirements.lock pyproject.toml
	@[ -x $(PYTHON) ] || { \
	  for python in $(PYTHON3) python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && break; python=; \
	  done; \
	  [ -n "$$python" ] || { echo "convscope needs Python 3.11 to 3.14 and found none; install one, or name it: make setup PYTHON3=/path/to/python3" >&2; exit 1; }; \
	  echo "setting up .venv with $$("$$python" --version)"; \
	  if command -v uv >/dev/null; then uv venv --quiet --python "$$("$$python" -c 'import sys; print(sys.executable)')" .venv; \
	  else "$$python" -m venv .venv || { echo "python cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }; fi; }
	@if command -v uv >/dev/null; then \
	  uv pip install --python $(PYTHON) --require-hashes -r requirements.lock && uv pip install --python $(PYTHON) --no-deps -e .; \
	else \
	  $(PYTHON) -m pip install --require-hashes -r requirements.lock && $(PYTHON) -m pip install --no-deps -e .; \
	fi
	@touch $@

browser:  ## Chromium and a font for the tests of the report page (Debian packages), where they may be installed
	@command -v chromium >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=none; fi; \
	if [ "$$as_root" != none ] && command -v apt-get >/dev/null; then \
	  $$as_root apt-get update -qq; \
	  $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	fi; \
	command -v chromium >/dev/null && exit 0; \
	echo "Chromium is missing and cannot be installed here: the tests of the report page in a browser will be skipped" >&2; \
	[ "$$CI" != true ]

slurm:  ## SLURM for the tests of docs/clusters.md (Debian packages), where it may be installed
	@command -v sbatch >/dev/null && command -v munged >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=none; fi; \
	if [ "$$as_root" != none ] && command -v apt-get >/dev/null; then \
	  $$as_root apt-get update -qq; \
	  $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge >/dev/null; \
	fi; \
	command -v sbatch >/dev/null && command -v munged >/dev/null && exit 0; \
	echo "SLURM is missing and cannot be installed here: the tests of runs under SLURM will be skipped" >&2; \
	[ "$$CI" != true ]

node:  ## Node.js for the checks of the report page's scripts (Debian packages), where it may be installed
	@command -v node >/dev/null && command -v npm >/dev/null && exit 0; \
	if [ "$$(id -u)" = 0 ]; then as_root=; elif sudo -n true 2>/dev/null; then as_root="sudo -n"; else as_root=none; fi; \
	if [ "$$as_root" != none ] && command -v apt-get >/dev/null; then \
	  $$as_root apt-get update -qq; \
	  $$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; \
	fi; \
	command -v node >/dev/null && command -v npm >/dev/null && exit 0; \
	echo "Node.js is missing and cannot be installed here: the scripts of the report page will not be checked" >&2; \
	[ "$$CI" != true ]

demo: .venv/.ready  ## train a narrow ZFNet on the embedded data and write the report; minutes on two CPU cores
	@$(PYTHON) src/run.py experiment=demo
	@echo "Open in a browser: $(CURDIR)/$$(ls -td outputs/train/*_demo/report/index.html | head -n 1)"

check: lint  ## lint, types and the tests that are not marked slow, in about two minutes
	@OMP_NUM_THREADS=1 $(PYTHON) -m pytest -q -n $(or $(WORKERS),2) --dist loadfile --no-loadscope-reorder -m "not slow"

test: .venv/.ready browser slurm  ## every test; WORKERS=n runs n at a time
	@CONVSCOPE_DEVICE=cpu OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n $(or $(WORKERS),2) --dist loadfile --no-loadscope-reorder

notebooks: .venv/.ready  ## execute the notebooks and store what they show; minutes where outputs/train/notebook is not there
	@cd notebooks && MPLBACKEND=agg ../$(PYTHON) execute.py

bench: .venv/.ready  ## every benchmark, one line for each ratio
	@for file in $$(grep -l '__main__' benchmarks/*.py | grep -v -e interleaved.py -e reliability_ -e /gpu.py); do $(PYTHON) "$$file" || exit 1; done

gpu: .venv/.ready  ## what only a GPU can show: its tests and ratios, in under six minutes on one card
	@$(PYTHON) -m pytest -q -m gpu tests/test_gpu.py && $(PYTHON) benchmarks/gpu.py

reliability: .venv/.ready  ## what is promised of long and broken runs, tried at full length; its figures, under 30 minutes
	@for file in benchmarks/reliability_*.py; do OMP_NUM_THREADS=1 $(PYTHON) "$$file" || exit 1; done
	@OMP_NUM_THREADS=1 CONVSCOPE_CASES=300 $(PYTHON) -m pytest -q tests/cli/test_settings.py tests/cli/test_every_setting.py tests/cli/test_composition.py

lint: .venv/.ready scripts  ## ruff and mypy, and the scripts of the report page
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . && .venv/bin/mypy

scripts: node  ## layout and types of the report page's scripts, by prettier and tsc
	@command -v npm >/dev/null || exit 0; \
	if [ ! node_modules/.ready -nt package-lock.json ]; then \
	  npm ci --silent --no-audit --no-fund && touch node_modules/.ready || { \
	    echo "prettier and tsc cannot be installed here: the scripts of the report page are not checked" >&2; \
	    [ "$$CI" != true ]; exit; }; \
	fi; \
	npm run --silent lint

format: .venv/.ready  ## put imports in order and lay out the code
	@.venv/bin/ruff check --fix . ; .venv/bin/ruff format . ; [ ! -f node_modules/.ready ] || npm run --silent format

lock:  ## requirements.lock anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header -o requirements.lock

clean:  ## remove caches; runs in outputs/ and .venv stay
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@rm -rf .pytest_cache .mypy_cache .ruff_cache build src/*.egg-info
