# The commands of this project. `make help` lists them.
VENV ?= .venv
export VENV
PYTHON_IN_VENV = $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test demo check bench evaluate corpus clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: ## run the filter in the foreground, as you, on a socket under ./var
	@scripts/setup run
	@mkdir -p var
	@$(PYTHON_IN_VENV) scripts/foreground $(PYTHON_IN_VENV) bms.py --config scripts/run.cfg run --show-mta-lines

test: ## the whole test-suite, real mail servers included where root and apt allow
	@scripts/setup test
	@# Without root there is nothing to try: pytest says at its end what was skipped, and what to install.
	@[ "$$(id -u)" != 0 ] || scripts/install-test-servers || [ $$? = 77 ]
	@$(PYTHON_IN_VENV) -m pytest $(PYTEST_ARGS)

demo: ## send real messages through a private Postfix and sendmail, and see what happens to each
	@scripts/setup test
	@scripts/install-test-servers
	@$(PYTHON_IN_VENV) tests/demo.py

check: ## ruff and mypy
	@scripts/setup check
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy dkim-milter.py

bench: ## ratios to peers in the same run
	@scripts/setup test
	@$(PYTHON_IN_VENV) -m tests.bench

evaluate: ## how well it classifies 6,046 real messages, learning as it goes (five shuffles; npm for the corpus)
	@scripts/setup test
	@$(PYTHON_IN_VENV) -m tests.bench.evaluate_corpus

corpus: ## 6,046 real messages through Postfix and sendmail, with and without the filter
	@scripts/setup test
	@scripts/install-test-servers
	@$(PYTHON_IN_VENV) tests/e2e/corpus_run.py --mta both

clean: ## remove what these commands made in this folder
	rm -rf $(VENV) .cache var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find lib -name '*.so' -o -name '_binding.[co]' | xargs -r rm -f
