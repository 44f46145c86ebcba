# Two commands do all: `make conformance` tests a swarm, `make test` tests the project.
ENGINE ?=
LAB ?= dind
PYTEST_ARGS ?=
SHELL := /bin/bash
BIN := .venv/bin
engine := $(if $(ENGINE),--engine $(ENGINE))
lab := --lab $(LAB)

.PHONY: conformance test test-vm lint types unit suites report browser power power-vm power-mesh power-upgrade preflight-power existing \
	upgrade engines lock clean
.DELETE_ON_ERROR:

conformance: .venv/ready
	$(BIN)/pytest suites/ $(lab) $(engine) $(PYTEST_ARGS)

test: lint types unit suites

# On virtual machines: what container nodes cannot judge, and a smoke of the rest (up to an hour where emulated).
test-vm: .venv/ready
	$(BIN)/pytest suites/ --lab vagrant --profile machines --reports reports/machines $(engine) $(PYTEST_ARGS)
	$(BIN)/pytest tests/unit/test_vagrantfile.py -q

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

unit: .venv/ready
	$(BIN)/pytest tests/unit -q

suites: .venv/ready
	$(BIN)/pytest suites/ -n 3 $(engine) $(PYTEST_ARGS)

# One HTML file of what a run left, or of several: make report RUNS="reports/bullseye reports/trixie"; and Allure's report.
RUNS ?= reports
report: .venv/ready
	$(BIN)/python -m swarmlab report $(RUNS)
	tools/allure/generate $(RUNS)

# Is an upgrade safe? make upgrade FROM=bookworm TO=forky, or engine versions; ends with 1 where it is not.
FROM ?=
TO ?=
UPGRADE_ARGS ?=
upgrade: .venv/ready
	$(BIN)/python -m swarmlab rehearse $(lab) $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO)) $(UPGRADE_ARGS)

# Break rehearsals on purpose, and see every one end in no-go for that reason (about half an hour).
power-upgrade: .venv/ready
	$(BIN)/pytest tests/proof/rehearsal/test_no_go.py -v
	$(BIN)/pytest tests/proof/rehearsal/test_begun_anew.py -v

# What a browser and axe say of the report; installs Debian's chromium and npm, and two packages of npm, where missing.
as_root := $(if $(filter 0,$(shell id -u)),,sudo -n)
browser: .venv/ready
	command -v npm >/dev/null && command -v chromium >/dev/null || { $(as_root) apt-get -qq update && $(as_root) apt-get -qq -y install npm chromium; }
	tools/browser/look
	$(BIN)/pytest tests/unit/test_browser.py -q

# Break clusters on purpose, and see every test fail as it has to (hours).
power: .venv/ready
	$(BIN)/pytest tests/proof/claims/test_planted_faults.py -m "not machines" -n 2 -v

# The same of what only machines can judge (about an hour where they are emulated).
power-vm: .venv/ready
	$(BIN)/pytest tests/proof/claims/test_planted_faults.py -m machines -v

# Break the mesh of machines on purpose, and see the controls of its known incidents fail (up to an hour; ENGINE: another).
power-mesh: .venv/ready
	$(BIN)/pytest tests/proof/mesh/test_mesh_controls.py --lab vagrant $(engine) -v

# Plant what preflight looks for in a cluster, and see it found, on its node, and nothing else (minutes; ENGINE: another).
preflight-power: .venv/ready
	$(BIN)/pytest tests/proof/preflight/test_findings.py $(engine) -v

# Run the suites on a swarm that exists, with work of its own under load, and see that it is not harmed (an hour or two).
existing: .venv/ready
	$(BIN)/pytest tests/proof/existing/test_unharmed.py -v

# The suites on every engine that images/engines.yaml lists, and on a swarm of them all.
engines: .venv/ready
	for engine in bullseye bookworm trixie forky bullseye,trixie,forky; do \
		$(BIN)/pytest suites/ -n 3 --engine $$engine --reports reports/$$engine $(PYTEST_ARGS) || exit 1; done

.venv/ready: requirements.lock setup.sh
	./setup.sh

# Pin anew what requirements.in names.
lock: .venv/ready
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --upgrade requirements.in -o requirements.lock

clean:
	rm -rf .venv .tox tools/*/node_modules reports/*/ reports/*.json reports/*.xml reports/*.html
