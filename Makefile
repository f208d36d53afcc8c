# Set-up happens by itself: each target depends on the virtual environment, which is made again only
# when the lock file or pyproject.toml changed.
SHELL := /bin/sh
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Options of `make eval`; each becomes an option of pytest.
MODEL ?=
PROFILES ?=
LANES ?=
TIER ?=
RUN ?= reports/latest
N ?= 10
MINUTES ?= 60
SAMPLE ?= 200
ARGS ?=
ENGINE ?= llama_cpp
TORCH ?=
comma := ,
# Each of a test run's hundreds of processes would compile the package again.
export PYTHONDONTWRITEBYTECODE :=
# mlx_lm's own replays have no engine in their names.
REPLAYS = $(if $(filter mlx_lm,$(ENGINE)),replay$(comma)replay-hermes,replay*-$(subst _,-,$(ENGINE)))
EVAL_OPTIONS = $(if $(MODEL),--model '$(MODEL)') $(if $(PROFILES),--profiles '$(PROFILES)') \
	$(if $(LANES),--lanes '$(LANES)') $(if $(TIER),--tier '$(TIER)') $(ARGS)

# Tests that boot nothing and load no model.
PURE := tests/judging tests/formats tests/loading

# Processes, signals and ports: asked of each system that a night runs on.
BOOT := tests/engines/test_boot.py tests/engines/test_ports.py tests/running/test_machine.py

# Texts, thousands of them, through booted servers: minutes in all.
REPLAYED := tests/replay tests/mutants

# Reports, thousands of answers of them, in a real browser and in Allure: minutes in all.
REPORTS := tests/report/test_accessibility.py tests/report/test_html_browser.py tests/report/test_allure.py \
	tests/report/test_allure_run.py

# Tests that kill, hang, fill a disk, train or install, minutes each.
SLOW := tests/running/test_kills.py tests/running/test_server_deaths.py tests/running/test_disk.py \
	tests/running/test_hung_server.py tests/collecting/test_asked_once.py tests/collecting/test_own_project.py tests/test_own_environment.py tests/test_night.py \
	tests/versions/test_bisect.py tests/report/test_three_nights.py tests/training/test_training_run.py \
	tests/running/test_spread.py tests/engines/test_two_ranks.py tests/bench/test_speculative.py

.PHONY: help setup eval report test test-replay test-reports test-fast test-boot test-torch test-kills test-reliability soak check docs format lock model train audit \
	engines bench-formats bench-latency bench-overhead bench-scale bench-speculative bench-sweep bench-throughput mutants coverage pictures axe clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  make %-13s %s\n", $$1, $$2}'
	@echo "  options of make eval: MODEL=path-or-hub-name PROFILES=a,b LANES=server,stream TIER=smoke ARGS='-k todo'"

setup: $(READY) ## virtual environment and packages, once

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo \
		"$(PYTHON) is $$($(PYTHON) --version 2>&1), and 3.11 is the oldest that serves;" \
		"name another: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

eval: $(READY) ## boot the model in its server, ask every case, judge, gate, report
	$(BIN)/evals run $(EVAL_OPTIONS)

report: $(READY) ## HTML of the newest run, or of RUN=reports/...; Allure needs Node.js 20
	$(BIN)/evals report $(RUN)
	$(BIN)/evals export allure $(RUN)

test: $(READY) ## tests of evals itself, but for those of test-replay, test-reports and test-reliability
	$(BIN)/python -m pytest tests -n 2 --dist loadfile --no-loadscope-reorder $(patsubst %,--ignore=%,$(SLOW) $(REPLAYED) $(REPORTS))

test-replay: $(READY) ## texts played by real servers: regressions, every split, recorded outputs, known-bad parsers
	$(BIN)/python -m pytest $(REPLAYED) -n 2 --dist loadfile --no-loadscope-reorder

test-reports: $(READY) ## reports in a real browser (chromium), and what Allure gets
	$(BIN)/python -m pytest $(REPORTS) -n 2 --dist loadfile --no-loadscope-reorder

test-reliability: $(READY) ## slow tests: dying and hanging servers, kills, full disks, runs of pytest
	$(BIN)/python -m pytest $(SLOW)

test-fast: $(READY) ## its pure tests alone, with few examples each: judging, formats, case files (half a minute)
	METAMORPHIC_EVERY=96 $(BIN)/python -m pytest $(PURE) -n 2 --dist worksteal -q --hypothesis-profile=fast -k 'not five_thousand'

test-boot: $(READY) ## boot, signals and ports alone: what another system may do otherwise (minutes)
	$(BIN)/python -m pytest $(BOOT) -q

test-torch: $(READY) ## training in torch takes the steps of mlx_lm; TORCH=python has torch, numpy and safetensors
	TORCH='$(TORCH)' $(BIN)/python -m pytest tests/training/test_in_torch.py

test-kills: $(READY) ## kill N=10 runs each of pytest, worker and server at random; resume each
	PYTHONPATH=tests $(BIN)/python tests/kills.py -n $(N)

soak: $(READY) ## a run of MINUTES=60 under mixed load and faults; memory and descriptors in build/soak
	PYTHONPATH=tests $(BIN)/python tests/soak.py --minutes $(MINUTES)

check: $(READY) ## format, lint, types, import contracts, schema current, workflows, documentation
	$(BIN)/ruff format --check evals tests conftest.py
	$(BIN)/ruff check evals tests conftest.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/evals validate
	$(BIN)/evals schema --check
	$(BIN)/python -m evals.reference --check
	$(BIN)/mkdocs build --strict --site-dir .cache/docs
	$(BIN)/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml

docs: $(READY) ## the documentation as HTML, in build/docs; its reference from the code
	$(BIN)/python -m evals.reference
	$(BIN)/mkdocs build --strict --site-dir build/docs

format: $(READY) ## format the code
	$(BIN)/ruff format evals tests conftest.py
	$(BIN)/ruff check --fix evals tests conftest.py

lock: $(READY) ## pin all packages again, for Linux and macOS
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-header pyproject.toml -o requirements.lock

model: $(READY) ## build the default model from its adapter (about a minute)
	$(BIN)/evals model build

train: $(READY) ## train the default model's adapter again (about three hours on one core)
	$(BIN)/evals model train

audit: $(READY) ## check the training data: leaked cases, balance, format, overlap, prompt
	$(BIN)/evals model audit

engines: $(READY) ## the replayed texts on ENGINE=vllm or another, in an environment of its own; results kept
	test $(ENGINE) = mlx_lm || $(BIN)/evals engine install $(ENGINE)
	$(BIN)/evals run --profiles '$(REPLAYS)' --run-dir reports/engines-$(ENGINE) $(ARGS); \
		told=$$?; $(BIN)/evals export conformance reports/engines-$(ENGINE) && exit $$told

bench-formats: $(READY) ## the suite before and after: trained on JSON fences, trained on XML
	$(BIN)/evals bench formats $(ARGS)

bench-latency: $(READY) ## TTFT, ITL, E2EL and more by lane and questions in flight, cold and warm; ARGS='--profiles replay'
	$(BIN)/evals bench latency $(ARGS)

bench-overhead: $(READY) ## what a run costs beside other harnesses, which it installs for itself; ARGS='--sizes 20,200,2000'
	$(BIN)/python tests/overhead/measure.py $(ARGS)

bench-scale: $(READY) ## what rejudge, report, compare and merge cost as runs grow; RUN=reports/latest, ARGS='--sizes 1000,10000'
	PYTHONPATH=tests $(BIN)/python tests/scale.py $(or $(RUN),reports/latest) $(ARGS)

bench-speculative: $(READY) ## speculative decoding: ratio, acceptance, the same answers; ARGS='--draft PATH'
	$(BIN)/evals bench speculative $(ARGS)

bench-sweep: $(READY) ## the suite at each quantisation, compared with fp16; table and plot
	$(BIN)/evals bench sweep $(ARGS)

bench-throughput: $(READY) ## a run beside a bare client that sends the same requests; ARGS='--places cases/zero_param --pairs 3'
	$(BIN)/python tests/overhead/beside.py $(ARGS)

mutants: $(READY) ## mutation testing of judging and formats: SAMPLE=200 of the mutants (about 25 minutes), or all
	SAMPLE='$(SAMPLE)' PYTHON='$(abspath $(BIN))/python' nice .ci/mutants $(ARGS)

coverage: $(READY) ## branch coverage of judging and formats by the pure tests; fails below 95%
	PYTHON='$(abspath $(BIN))/python' .ci/coverage $(ARGS)

pictures: $(READY) ## pictures of the guides, of the reports of RUN=reports/...; runs beside it are its history
	$(BIN)/python tests/pictures.py $(RUN)

axe: $(READY) ## axe-core on each view of report.html and on a scorecard, desk and phone, light and dark
	$(BIN)/python -m pytest tests/report/test_accessibility.py -q

clean: ## remove reports, caches and the virtual environment
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache reports/*/ reports/latest build/docs .cache/docs
