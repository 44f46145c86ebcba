# Two commands do all: `make conformance` tests a swarm, `make test` tests the project. `make` alone lists the targets.
# make ends with 2 when a command fails. The command's own exit status is in the line "… ended with N" that precedes it.
CONFIG ?=
ENGINE ?=
CLAIM ?=
LAB ?= dind
PYTEST_ARGS ?=
SHELL := /bin/bash
# Where the programs are. tox sets it to its own environment, which then takes the place of .venv.
BIN := .venv/bin
ready := $(if $(filter .venv/bin,$(BIN)),.venv/ready)
engine := $(if $(ENGINE),--engine '$(ENGINE)')
claim := $(if $(CLAIM),--claim '$(CLAIM)')
lab := --lab $(LAB)
# make that is ended ends the shell of a recipe alone: what the shell runs ends with it.
run := setpriv --pdeathsig TERM
pytest := $(run) $(BIN)/pytest
swarmlab := $(run) $(BIN)/swarmlab
prove := $(pytest) -m lab -v
as_root := $(if $(filter 0,$(shell id -u)),,sudo -n) env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
# Put after a command: print its exit status if it fails. $(call ended,NAME)
ended = || { status=$$?; echo "$(1) ended with $$status" >&2; exit $$status; }

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## List the targets.
	@sed -En -e 's/^##: (.*)/\n\1/p' -e 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F '\t' 'NF > 1 { printf "  %-16s %s\n", $$1, $$2; next } { print }'
	@printf '\n%s\n' 'Variables: ENGINE=trixie (or a version, or several by comma), LAB=dind|vagrant|inventory, CONFIG=FILE, CLAIM=7.2.1 (or an id, configs, critical), PYTEST_ARGS="…"'

##: A swarm

.PHONY: conformance
conformance: $(ready) ## Test a swarm: the suites on a lab of containers (LAB=… or CONFIG=FILE: another; CLAIM=…: these claims alone).
	$(pytest) suites/ $(if $(CONFIG),--config '$(CONFIG)',$(lab)) $(engine) $(claim) $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: explain
explain: $(ready) ## Say what a claim is about, needs, and what to do when it fails: make explain CLAIM=7.2.4/rm
	$(swarmlab) explain $(if $(CLAIM),'$(CLAIM)') $(call ended,swarmlab)

.PHONY: test-vm
test-vm: $(ready) ## Test on virtual machines what containers cannot show, and a smoke of the rest (up to an hour).
	$(pytest) suites/ --lab vagrant --profile machines --reports reports/machines $(engine) $(PYTEST_ARGS) $(call ended,pytest)
	$(pytest) tests/unit/test_vagrantfile.py -q $(call ended,pytest)

.PHONY: engines
engines: $(ready) ## Run the suites on every engine of images/engines.yaml, and on a swarm of several.
	worst=0; for engine in bullseye bookworm trixie forky bullseye,trixie,forky; do \
		status=0; $(pytest) suites/ --engine $$engine --reports reports/$$engine $(PYTEST_ARGS) || status=$$?; \
		[ $$status = 0 ] || { worst=$$status; echo "pytest on $$engine ended with $$status" >&2; }; \
		[ $$status -le 1 ] || break; done; exit $$worst

BASE ?=
.PHONY: image
image: $(ready) ## Make the project's image, swarm-conformance, on the engine of this host, also where no registry is reached.
	$(BIN)/python -m tools.image $(BASE) $(call ended,image)

FROM ?=
TO ?=
UPGRADE_ARGS ?=
.PHONY: upgrade
upgrade: $(ready) ## Rehearse an upgrade and decide go or no-go: make upgrade FROM=bookworm TO=forky
	$(swarmlab) rehearse $(lab) $(if $(FROM),--from $(FROM)) $(if $(TO),--to $(TO)) $(UPGRADE_ARGS) $(call ended,swarmlab)

RUNS ?= reports
.PHONY: report
report: $(ready) ## Make report.html of runs, and Allure's report: make report RUNS="reports/bullseye reports/trixie"
	$(swarmlab) report $(RUNS) $(call ended,swarmlab)
	tools/allure/generate $(RUNS)

##: The project

.PHONY: test
test: lint types unit suites ## Test the project: lint, types, unit and suites.

.PHONY: lint
lint: $(ready) ## Check style, format and the direction of imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

.PHONY: types
types: $(ready) ## Check types.
	$(BIN)/mypy

.PHONY: unit
unit: $(ready) ## Run the tests that need no lab.
	$(pytest) tests/ -q -n 2 $(UNIT_ARGS) $(call ended,pytest)

# The claims of Swarm take half as long again; `make conformance` and the nightly runs judge them.
.PHONY: suites
suites: $(ready) ## Judge the document's claims on labs of containers, as many side by side as the machine has room for.
	$(pytest) suites/ --catalogue document $(engine) $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: browser
browser: $(ready) ## Check the report with a browser and axe; installs chromium and npm where they are missing.
	command -v npm >/dev/null && command -v chromium >/dev/null || { $(as_root) apt-get -qq update && $(as_root) apt-get -qq -y install npm chromium; }
	tools/browser/look
	$(pytest) tests/unit/test_browser.py -q $(call ended,pytest)

##: Proofs: plant faults, and check that each is noticed

.PHONY: proof
proof: proof-claims proof-engines proof-machines proof-mesh proof-rehearsal proof-ways-back proof-preflight proof-existing proof-host proof-host-settings proof-libvirt proof-ends proof-secrets proof-rights proof-image proof-remote proof-interruptions ## Run all proofs (a day).

.PHONY: proof-claims
proof-claims: $(ready) ## Break clusters on purpose: every test of the suites must fail (hours).
	$(pytest) tests/proof/claims -m "lab and not machines" -n 2 -v $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-engines
proof-engines: $(ready) ## Judge engines from archives of both layouts, packed from Debian's packages (half an hour).
	$(prove) tests/proof/engines $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-machines
proof-machines: $(ready) ## The same for claims that only machines can judge (an hour).
	$(pytest) tests/proof/claims -m "lab and machines" -v $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-mesh
proof-mesh: $(ready) ## Break the routing mesh of machines: the controls of its incidents must fail (up to an hour).
	$(prove) tests/proof/mesh --lab vagrant $(engine) $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-rehearsal
proof-rehearsal: $(ready) ## Break rehearsals on purpose: every one must end in no-go for its reason (half an hour).
	$(pytest) tests/proof/rehearsal -m "lab and not machines" -v $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-ways-back
proof-ways-back: $(ready) ## Rehearse on machines: the ways back must be judged, and fail where a state is lost (hours).
	$(prove) tests/proof/rehearsal/test_ways_back.py $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-preflight
proof-preflight: $(ready) ## Plant faults for preflight: it must find each on its node, and nothing else (minutes).
	$(prove) tests/proof/preflight $(engine) $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-existing
proof-existing: $(ready) ## Run the suites on an existing swarm under load: its own work must be unharmed (an hour or two).
	$(prove) tests/proof/existing $(engine) $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-libvirt
proof-libvirt: $(ready) ## Make, use and kill a lab of machines in a libvirt that others use: nothing of theirs may change (an hour).
	$(prove) tests/proof/libvirt $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-host-settings
proof-host-settings: $(ready) ## Labs on engines and hosts with other settings: each works, or ends in one line (half an hour).
	$(prove) tests/proof/host/test_settings.py $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-host
proof-host: $(ready) ## Run as a stranger does on virtual machines with Debian 12 and 13 and an engine (hours).
	$(prove) tests/proof/host/test_machines.py $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-ends
proof-ends: $(ready) ## Take labs away in the midst of runs, and use one lab twice: no claim may fail (a quarter of an hour).
	$(prove) tests/proof/ends $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-secrets
proof-secrets: $(ready) ## Plant values in a swarm of others: no file and no output of a command has one (a quarter of an hour).
	$(prove) tests/proof/secrets $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-image
proof-image: $(ready) ## Run the project's image on the engine, and what lies beside it: all must end in order (a quarter of an hour).
	$(prove) tests/proof/image $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-rights
proof-rights: $(ready) ## Use an engine of root's as users by the group, by sudo and by nothing: each is told its way (a quarter of an hour).
	$(prove) tests/proof/rights $(PYTEST_ARGS) $(call ended,pytest)

.PHONY: proof-remote
proof-remote: $(ready) ## Run on engines out of reach, over SSH, over TLS and in a namespace: verdicts here, nothing left there (half an hour).
	$(prove) tests/proof/remote $(PYTEST_ARGS) $(call ended,pytest)

KILLS ?= 50
.PHONY: proof-interruptions
proof-interruptions: $(ready) ## Interrupt commands at all moments, then kill KILLS runs: nothing may be left (two hours).
	$(prove) tests/proof/interruptions $(PYTEST_ARGS) $(call ended,pytest)
	$(BIN)/python -m tests.proof.interruptions.kills --count $(KILLS) $(call ended,kills)

##: Upkeep

.PHONY: docs
docs: $(ready) ## Write the generated pages of docs/reference anew from the parsers.
	$(BIN)/python -m tools.documents

OUT ?= RESULTS.md
.PHONY: results
results: $(ready) ## Write RESULTS.md (OUT=FILE: another page) anew from the verdicts of runs: make results RUNS="reports/bullseye …"
	$(swarmlab) results $(RUNS) $(addprefix --kills ,$(wildcard reports/proof/kills.json)) \
		--out $(OUT) $(call ended,swarmlab)

.PHONY: times
times: $(ready) ## Write docs/reference/times.md anew from runs with --profile-run and the benchmark: make times RUNS="…"
	$(swarmlab) results --times $(RUNS) \
		$(addprefix --picture docs/images/growth.svg --bench ,$(wildcard reports/bench/bench.json)) \
		--out docs/reference/times.md $(call ended,swarmlab)

NODES ?= 3,10,20,40
BENCH_ARGS ?=
.PHONY: bench
bench: $(ready) ## Measure how the work grows with the nodes, and the work of expensive tests against bare commands (an hour).
	$(BIN)/python -m tools.bench --nodes $(NODES) $(BENCH_ARGS) $(call ended,bench)

.PHONY: bench-floor
bench-floor: $(ready) ## The second part alone: make bench-floor BENCH_ARGS="--tests rollback,tolerates-5"
	$(BIN)/python -m tools.bench floor $(BENCH_ARGS) $(call ended,bench)

.PHONY: estimates
estimates: $(ready) ## Write claims/seconds.yaml anew, by which first runs are ordered: make estimates RUNS="reports …"
	$(BIN)/python -m tools.estimates $(RUNS)

.PHONY: lock
lock: $(ready) ## Pin the newest releases of what pyproject.toml names in requirements.lock.
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --upgrade pyproject.toml --extra dev -o requirements.lock

.PHONY: clean
clean: ## Remove the environments and what runs left in reports/.
	rm -rf .venv .tox build *.egg-info tools/*/node_modules
	find reports -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

.venv/ready: requirements.lock setup.sh
	./setup.sh
