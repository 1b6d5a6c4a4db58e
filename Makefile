# make demo   a virtual environment, the project in it, and real patients on the screen
# make test   the same, and every check
# make chaos  workers and brokers killed in every way, ROUNDS times each; make mutants: what the judge must find
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Apache Kafka for the end-to-end tests: KAFKA_HOME, or a distribution that lies beside the checkout.
ifeq ($(strip $(KAFKA_HOME)),)
KAFKA_HOME := $(abspath $(wildcard ../shared/kafka))
endif
ifneq ($(strip $(KAFKA_HOME)),)
export KAFKA_HOME
endif
# One thread a process: the models are small, and threads of a busy machine wait for each other.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: install demo test test-long check chaos mutants rule-mutants recovery-bench soak nurse-day sbom audit clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group test
	touch $@

demo: install
	$(BIN)/sepsis-monitor demo $(ARGS)

# Three processes for two processors: much of the time is waiting for brokers and workers.
test: check
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile -m 'not long' $(ARGS)

# What takes too long for every change: rights taken away from running programs, and the slowest of the others.
test-long: check
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m long $(ARGS)

# What needs no broker and no data: style, types, the direction of imports.
check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Long runs: not a part of `make test`, which has a short round of them. BOOTSTRAP=HOST:PORT names a cluster of your own.
ROUNDS ?= 1

chaos: install
	$(BIN)/python -m tests.chaos --rounds $(ROUNDS) $(if $(BOOTSTRAP),--bootstrap $(BOOTSTRAP)) $(ARGS)

mutants: install
	$(BIN)/python -m tests.chaos --mutants $(ARGS)

# Every number of every alerting rule made wrong: a case must notice.
rule-mutants: install
	SEPSIS_MONITOR_ALL_RULES=1 $(BIN)/python -m pytest --numprocesses 2 tests/deploy/test_rule_mutants.py $(ARGS)

# Seconds to take over 20,000 patients, and what memory a backlog takes.
recovery-bench: install
	$(BIN)/python -m tests.bench.recovery $(ARGS)
	$(BIN)/python -m tests.bench.flood

# A simulated week of 2,000 patients: memory, open files and state must stay flat.
soak: install
	$(BIN)/python -m tests.soak --json soak.json --picture soak.png $(ARGS)

# A day of 300 beds with a scripted nurse, at 600 times real time: every alert closed, every command answered?
nurse-day: install
	$(BIN)/python -m tests.nurse_day $(ARGS)

# What the service is made of (CycloneDX), and which of it has known weaknesses: of a virtual environment with nothing else
# in it. The second asks an advisory service on the network.
AUDIT := $(VENV)-audit/bin
$(VENV)-audit/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)-audit
	$(AUDIT)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(AUDIT)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group audit
	touch $@

sbom: install $(VENV)-audit/.installed
	$(BIN)/cyclonedx-py environment $(AUDIT)/python --pyproject pyproject.toml --of JSON --output-file sbom.json

# By names and released versions: an index has no advisories on a build of its own (2.13.0+cpu), nor on this project. With
# --strict a package that could not be looked up is a failure, for nothing is known of it.
audit: install $(VENV)-audit/.installed
	$(AUDIT)/python -m pip freeze --exclude sepsis-monitor | sed -E 's/\+[A-Za-z0-9.]+$$//' > $(VENV)-audit/released.txt
	test -s $(VENV)-audit/released.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip --requirement $(VENV)-audit/released.txt || { echo "make audit: a package \
	has a known weakness, or was not looked up (see above). It needs an index with advisories: run it where pypi.org can be \
	reached, or with PIP_AUDIT_VULNERABILITY_SERVICE=osv where api.osv.dev can" >&2; exit 1; }

clean:
	rm -rf $(VENV) $(VENV)-audit .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache
