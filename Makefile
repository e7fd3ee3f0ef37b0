# Two commands to success: `make demo`, `make test`. `make` alone lists the rest.
# Everything is installed into .venv; nothing needs root, except `make setup-browser`.

VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check
# The first interpreter that really runs and is 3.11 or newer (pyenv's shims may exist and not run).
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help setup demo lock release upgrade test test-slow check format clean setup-browser setup-system chaos fuzz soak soak-api site bench bench-quality bench-quality-full bench-status bench-reproduce bench-service bench-agreement bench-parity bench-page bench-audit bench-audit-full bench-audit-scale bench-audit-watermark bench-audit-sequential bench-audit-settle bench-audit-labels bench-api bench-drift bench-drift-errors bench-incremental bench-nightly bench-scale bench-scale-full bench-gpu pictures

help:  ## list the verbs
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "gfi needs Python 3.11 or newer; none was found. Set PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip

# A stamp per purpose: the demo does not wait for the test tools. Both are one resolution of pyproject.toml.
$(VENV)/.ready-demo: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[all]'
	@touch $@

$(VENV)/.ready-test: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[test,check]'
	@touch $(VENV)/.ready-demo $@

setup: $(VENV)/.ready-test  ## install everything into .venv

demo: $(VENV)/.ready-demo  ## explain the bundled photographs with the whole stack; writes .gfi/demo/index.html
	@$(BIN)/gfi demo

test: $(VENV)/.ready-test $(if $(filter true,$(CI)),setup-system)  ## the suite (unit, service, short chaos, browser)
	@start=$$(date +%s); $(BIN)/python -m pytest -n 3 --no-loadscope-reorder $(ARGS); status=$$?; \
	  echo "suite took $$(( $$(date +%s) - start )) s without installation"; exit $$status

test-slow: $(VENV)/.ready-test  ## the suite with a quarter of the CPU, as on a slow machine (needs root)
	@$(BIN)/python -m tests.slow $(ARGS)

check: $(VENV)/.ready-test  ## ruff, mypy and the import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/site_pages.py
	$(BIN)/lint-imports

format: $(VENV)/.ready-test  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup-system:  ## Debian packages that some tests need: chromium, docker-compose, promtool (needs root)
	@command -v chromium >/dev/null && command -v docker-compose >/dev/null && command -v promtool >/dev/null || \
	  { apt-get update -qq && apt-get install -y -qq chromium docker-compose >/dev/null \
	    && apt-get install -y -qq --no-install-recommends prometheus >/dev/null; }

site: $(VENV)/.ready-test  ## the documentation as a site, in build/site; fails on a warning or a dead link
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

pictures: $(VENV)/.ready-test  ## remake every picture of the dashboard in docs/pictures (needs chromium; THEME=dark)
	GFI_PICTURES=$(CURDIR)/docs/pictures GFI_PICTURES_THEME=$(or $(THEME),light) $(BIN)/python -m pytest tests/browser -k "every_page or session"
	$(BIN)/gfi demo
	$(BIN)/python -m benchmarks.pictures

bench-api: $(VENV)/.ready-test  ## response times of the API with a million results on PostgreSQL; writes benchmarks/results/api.json
	@$(BIN)/python -m benchmarks.api

bench-drift: $(VENV)/.ready-test  ## gates on models whose difference is known, 20 seeds; writes benchmarks/results/drift.json
	@$(BIN)/python -m benchmarks.drift $(ARGS)

bench-drift-errors: $(VENV)/.ready-test  ## how often the default gate errs, in simulation; writes benchmarks/results/drift_errors.json
	@$(BIN)/python -m benchmarks.drift_errors $(ARGS)

bench-incremental: $(VENV)/.ready-test  ## seconds and memory of joining two listings of 1 and 10 million; writes benchmarks/results/incremental.json
	@$(BIN)/python -m benchmarks.incremental $(ARGS)

bench-nightly: $(VENV)/.ready-test  ## planning of a night over 100,000 images of which 1 % changed; adds a row to benchmarks/results/incremental.json
	@$(BIN)/python -m benchmarks.nightly $(ARGS)

bench-scale: $(VENV)/.ready-test  ## the ledger with a million results on PostgreSQL, and listings; writes benchmarks/results/scale.json
	@$(BIN)/python -m benchmarks.scale $(ARGS)
	@$(BIN)/python -m benchmarks.scale_listing $(ARGS)

bench-scale-full: $(VENV)/.ready-test  ## bench-scale with ten million results and keys
	@$(BIN)/python -m benchmarks.scale --rows 10000000 $(ARGS)
	@$(BIN)/python -m benchmarks.scale_listing --keys 10000000 --objects 200000 $(ARGS)

LOCK = $(VENV)/lock/bin/uv pip compile -q pyproject.toml --generate-hashes --no-annotate --no-header --no-emit-index-url \
  --python-version 3.12 --python-platform x86_64-manylinux_2_28 -c $(VENV)/lock/tested.txt
lock: $(VENV)/.ready-test  ## lock the packages of the two images at the versions that are tested here (deploy/locks)
	@test -x $(VENV)/lock/bin/uv || { $(BIN)/python -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet uv; }
	@$(PIP) freeze --exclude-editable | grep == > $(VENV)/lock/tested.txt
	$(LOCK) --extra service -o deploy/locks/service.txt
	$(LOCK) --extra service --extra method --extra sample --extra peers -o deploy/locks/worker.txt

release: $(VENV)/.ready-test  ## wheel and sdist, tried on each Python (PYTHONS), with SBOM and licences; in dist/
	@deploy/release.sh $(CURDIR)/$(BIN)/python

upgrade: $(VENV)/.ready-test  ## upgrade version 0.1.0 (commit e5687fc, from git) while both versions run
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.upgrade

setup-browser: setup-system

clean:  ## remove .venv and the embedded stack's state
	rm -rf $(VENV) .gfi build dist *.egg-info

chaos: $(VENV)/.ready-test  ## break everything on purpose, at length: SCENARIO=n, SEED=s; writes docs/reliability.md
	$(BIN)/python -m tests.chaos $(if $(SCENARIO),--scenario $(SCENARIO)) $(if $(SEED),--seed $(SEED))

fuzz: $(VENV)/.ready-test  ## every operation of the API with EXAMPLES=100 generated requests each, for at most SECONDS=1800
	GFI_FUZZ_EXAMPLES=$(or $(EXAMPLES),100) GFI_FUZZ_S=$(or $(SECONDS),1800) $(BIN)/python -m pytest -q -s tests/service/api/test_openapi.py

soak: $(VENV)/.ready-test  ## mixed jobs under random faults for MINUTES=30; memory, connections and keys stay flat
	$(BIN)/python -m tests.chaos --scenario 10 --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED))

soak-api: $(VENV)/.ready-test  ## REQUESTS=40000 requests of the gallery and 1,000 progress streams; the API's memory stays flat
	GFI_SOAK_REQUESTS=$(or $(REQUESTS),40000) $(BIN)/python -m pytest -q -s tests/service/api/test_memory.py

bench: $(VENV)/.ready-test  ## engine throughput against its theoretical lower bound and a naive implementation; writes benchmarks/results/engine.json
	@$(BIN)/python -m benchmarks.engine $(ARGS)

bench-gpu: $(VENV)/.ready-test  ## everything about a GPU in six minutes; writes gpu.json into OUT=benchmarks/results
	@$(BIN)/python -m benchmarks.gpu --out $(or $(OUT),benchmarks/results) $(ARGS)

bench-service: $(VENV)/.ready-test  ## overhead of the service; writes benchmarks/results/service.json
	@$(BIN)/python -m benchmarks.service $(ARGS)

bench-agreement: $(VENV)/.ready-test  ## how much masks differ between execution profiles; writes benchmarks/results/agreement.json
	@$(BIN)/python -m benchmarks.agreement $(ARGS)

bench-parity: $(VENV)/.ready-test  ## `released` against a port of the authors' loop on SqueezeNet with photographs; writes benchmarks/results/parity.json
	@$(BIN)/python -m benchmarks.parity $(ARGS)

bench-quality: $(VENV)/.ready-test  ## scores of the masks compared with other methods and controls; writes benchmarks/results/quality.json
	@$(BIN)/python -m benchmarks.quality $(ARGS)

bench-status: $(VENV)/.ready-test  ## how many masks of methods and how many random masks have the status target_lost; writes benchmarks/results/status.json
	@$(BIN)/python -m benchmarks.status $(ARGS)

bench-reproduce: $(VENV)/.ready-test  ## the paper's experiments on data that can be shipped; writes benchmarks/results/reproduce.json
	@$(BIN)/python -m benchmarks.reproduce $(ARGS)

bench-audit: $(VENV)/.ready-test  ## the audit on planted and clean datasets, five seeds; writes benchmarks/results/audit.json
	@$(BIN)/python -m benchmarks.audit --processes 2 $(ARGS)

bench-audit-full: $(VENV)/.ready-test  ## bench-audit with twenty seeds, subsamples and relabellings (hours)
	@$(BIN)/python -m benchmarks.audit --processes 2 --seeds 20 --resamples 5 $(ARGS)

bench-audit-sequential: $(VENV)/.ready-test  ## error rates and images saved of the sequential audit, simulated; writes benchmarks/results/audit_sequential.json
	@$(BIN)/python -m benchmarks.audit_sequential $(ARGS)

bench-audit-settle: $(VENV)/.ready-test  ## how much of a drawn dataset the sequential audit explains; writes benchmarks/results/audit_settle.json
	@$(BIN)/python -m benchmarks.audit_settle $(ARGS)

bench-audit-labels: $(VENV)/.ready-test  ## the audit of images with several labels, drawn; writes benchmarks/results/audit_labels.json
	@$(BIN)/python -m benchmarks.audit_labels $(ARGS)

bench-audit-watermark: $(VENV)/.ready-test  ## the watermark of ImageNet-W on shared photographs, as a stated hypothesis; adds rows to benchmarks/results/audit.json
	@$(BIN)/python -m benchmarks.watermark $(ARGS)

bench-audit-scale: $(VENV)/.ready-test  ## the audit's screens on a million results; writes benchmarks/results/audit_scale.json
	@$(BIN)/python -m benchmarks.audit_scale $(ARGS)
	@$(BIN)/python -m benchmarks.audit_service_scale $(ARGS)

bench-page: $(VENV)/.ready-test  ## write docs/benchmarks.md from benchmarks/results
	@$(BIN)/python -m benchmarks.page

bench-quality-full: $(VENV)/.ready-test  ## bench-quality on 50 photographs, every fill and grid for every method (takes hours)
	@$(BIN)/python -m benchmarks.quality --full --picture $(ARGS)
