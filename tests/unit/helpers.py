"""Shared by several unit tests: the text of a suite made for a test, and the data of a run."""

import signal
import subprocess
import textwrap
from types import SimpleNamespace

import docker

from swarmlab.paths import ROOT
from swarmlab.preflight import Level
from swarmlab.verdicts import catalogue
from swarmlab.verdicts.parts import DEFAULT

#: The ids of the claims that a run judges by default.
IDS = list(catalogue.load().of(DEFAULT))
#: The verdicts as reports order them.
WORDS = ["pass", "fail", "blocked", "broken", "timeout", "waived", "not run"]
#: The node of a run.
NODE = {"name": "master", "address": "10.0.0.1", "engine": "1.2.3", "kernel": "6.1", "firewall": "iptables (nf_tables)"}

#: The conftest.py of a suite: the plugins, and a lab of the project with three nodes and nothing else.
CONFTEST = """
    import os
    import pytest
    from swarmlab.errors import LabError
    from swarmlab.evidence import on_failure
    from swarmlab.needs import DECLARED, MADE, Offers

    pytest_plugins = ["fixtures.claims", "fixtures.choosing", "fixtures.ending", "fixtures.verdicts",
                      "fixtures.allure_labels", "fixtures.other_programs", "fixtures.profiles",
                      "fixtures.workers"]

    class Lab:
        kind, name = "none", f"made-for-{os.getpid()}"
        offers = Offers(3, MADE, declared=frozenset(DECLARED))

        def account(self):
            return {"speed": 1.0}

        def facts(self):
            return [{"name": "master", "address": "10.0.0.1", "engine": "1.2.3", "kernel": "6", "firewall": "nft"}]

    @pytest.fixture(scope="session")
    def lab():
        if os.environ.get("NO_LAB"):
            raise LabError("no engine answers")
        return Lab()

    @pytest.fixture
    def cluster(lab):
        def diagnose(journal):
            journal.attach("firewall of master", "the rules")

        on_failure.append(diagnose)
        yield lab
        on_failure.remove(diagnose)
"""

#: The head of a module of such a suite.
HEADER = """
    import os, pytest
    from fixtures.claims import claim
    from swarmlab.errors import Blocked, DeadlineExceeded, EngineRefused, LabError
    from swarmlab.evidence import picture, record
"""


def prepare(pytester, monkeypatch, plugins):
    """Make a project whose suites a test writes to its folder "suites". *plugins*: those of CONFTEST's profiles on."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\ncomplete_sections = 7.2.2\n")
    pytester.makeconftest(textwrap.dedent(CONFTEST.replace('"fixtures.profiles",', plugins)))
    (pytester.path / "suites").mkdir()


def start(command, cwd, **how):
    """Start a command that heeds signals: a shell's background jobs ignore SIGINT, and under nohup SIGHUP."""

    def prepare():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen(command, cwd=cwd, preexec_fn=prepare, **how)


def check_words(findings):
    """Check that each trouble has a risk and a mend, and what is unknown something that would make it known."""
    for finding in findings:
        if finding.level.trouble or finding.level is Level.UNKNOWN:
            assert finding.mend, f"{finding.check}: no mend: {finding}"
            assert "{nodes}" not in finding.mend, f"{finding.check}: the mend names no node: {finding}"
        assert finding.risk or not finding.level.trouble, f"{finding.check}: no risk: {finding}"


class Volumes(dict):
    """The volumes of an engine, each with its labels; those of *used* are mounted by a container."""

    used = ()

    def create(self, name, labels):
        self.setdefault(name, labels)
        return self.get(name)

    def list(self, filters):
        key, _, value = filters["label"].partition("=")
        return [self.get(name) for name, labels in self.items() if key in labels and value in ("", labels[key])]

    def get(self, name):
        if name not in self:
            raise docker.errors.NotFound(name)

        def remove(force):
            assert force
            if name in self.used:
                raise docker.errors.APIError("volume is in use")
            del self[name]

        return SimpleNamespace(name=name, attrs={"Labels": self[name]}, remove=remove)
