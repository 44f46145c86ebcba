"""Whose a lab is, by the labels of its parts, and what the next run removes. The engine is a double."""

import contextlib
import socket
import subprocess
from types import SimpleNamespace

import docker
import pytest

from swarmlab import ownership
from swarmlab.labs import registry, standing
from swarmlab.labs.standing import CLUSTER, KEPT
from swarmlab.ownership import LABEL, OWNER, PERSON, USER, this_process
from swarmlab.paths import command


def gone():
    """Return the owner's mark of a process that has ended."""
    done = subprocess.Popen(["true"])
    done.wait()
    return f"{socket.gethostname()}/{done.pid}/1"


class Part:
    def __init__(self, engine, kind, name, **labels):
        self.engine, self.kind, self.name, self.labels = engine, kind, name, labels
        self.attrs = {"Labels": labels, "Mounts": [], "IPAM": {"Config": []}}
        self.client = engine.client
        self.status, self.frozen = "running", True

    def reload(self):
        self.attrs["Containers"] = {}

    def exec_run(self, command):
        self.frozen = "THAWED" not in " ".join(command)

    def remove(self, **_):
        assert self.kind != "container" or not self.frozen, "what is frozen outlives a SIGKILL"
        self.engine.removed.append(self.name)
        self.engine.parts.remove(self)


class Parts:
    def __init__(self, engine, kind):
        self._engine, self._kind = engine, kind

    def list(self, filters=None):
        wanted = (filters or {}).get("label", [])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        return self._engine.having(self._kind, *wanted)

    def get(self, name):
        for part in self._engine.parts:
            if (part.kind, part.name) == (self._kind, name):
                return part
        raise docker.errors.NotFound(name)

    def create(self, name, labels):
        self._engine.add(self._kind, name, **labels)


class Engine:
    """An outer engine as far as labs are looked for and removed."""

    def __init__(self):
        self.parts, self.removed = [], []
        self.client = SimpleNamespace(networks=Parts(self, "network"), volumes=Parts(self, "volume"))

    def add(self, kind, name, **labels):
        self.parts.append(Part(self, kind, name, **labels))

    def lab(self, name, owner):
        for kind, part in (("network", name), ("container", f"{name}-master"), ("volume", f"{name}-data")):
            self.add(kind, part, **{LABEL: name, OWNER: owner, CLUSTER: "0"})

    def having(self, kind, *wanted):
        pairs = [label.partition("=") for label in wanted]

        def has(part):
            return all(key in part.labels and (not given or part.labels[key] == value) for key, given, value in pairs)

        return [part for part in self.parts if part.kind == kind and has(part)]

    def containers(self, *wanted):
        return self.having("container", *wanted)

    def alive(self, owner):
        return ownership.alive(owner)


@pytest.fixture
def engine(monkeypatch, tmp_path):
    monkeypatch.setattr(standing, "run_folder", lambda: tmp_path)
    monkeypatch.setattr(registry, "alone", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(ownership, "_fates", {})
    return Engine()


def owners(engine):
    return {lab.name: (lab.owner, lab.alive) for lab in standing.labs(engine)}


def test_a_lab_is_its_makers_until_it_is_kept(engine):
    engine.lab("x", this_process())
    assert owners(engine) == {"x": (this_process(), True)}
    standing.keep(engine, "x")
    assert owners(engine) == {"x": (USER, True)}
    assert (
        ownership.fates() == f"lab x is up and stays; take it down with `{command('swarmlab', 'down', '--name', 'x')}`"
    )


def test_a_lab_that_up_did_not_finish_is_removed_by_the_next_run(engine):
    engine.lab("x", gone())
    engine.lab("y", this_process())
    registry.remove_stale(engine, lambda _: None)
    assert list(owners(engine)) == ["y"]
    assert ownership.fates() == "it had made no lab"


def test_a_lab_that_is_kept_stays_and_only_a_killed_runs_nodes_in_it_go(engine):
    maker = gone()
    engine.lab("x", maker)
    engine.add("volume", "x-kept", **{LABEL: "x", OWNER: maker, KEPT: ""})
    engine.add("container", "x-1-master", **{LABEL: "x", OWNER: gone(), CLUSTER: "1"})
    engine.add("container", "x-2-master", **{LABEL: "x", OWNER: this_process(), CLUSTER: "2"})
    registry.remove_stale(engine, lambda _: None)
    assert engine.removed == ["x-1-master"]


def test_a_lab_of_before_that_has_no_mark_of_being_kept_stays(engine):
    engine.lab("x", USER)
    registry.remove_stale(engine, lambda _: None)
    assert engine.removed == []


def test_a_lab_is_nobodys_as_soon_as_its_removal_begins(engine):
    engine.lab("x", gone())
    standing.keep(engine, "x")
    standing.remove(engine, "x")
    assert engine.removed[0] == "swarmlab-x-kept"
    assert not engine.parts
    assert ownership.fates() == "lab x was taken down"


def test_a_lab_of_another_user_is_theirs_and_stays_when_its_run_was_killed(engine, monkeypatch):
    monkeypatch.setattr(standing, "person", lambda: "me")
    monkeypatch.setattr(registry, "person", lambda: "me")
    for name, person in (("theirs", "ops"), ("mine", "me"), ("nobodys", "")):
        labels = {LABEL: name, OWNER: gone(), CLUSTER: "0"} | ({PERSON: person} if person else {})
        engine.add("network", name, **labels)
        engine.add("container", f"{name}-master", **labels)
    engine.add("container", "passing", **{LABEL: "images", OWNER: gone(), PERSON: "ops"})
    told = []
    assert {lab.name: (lab.person, lab.foreign) for lab in standing.labs(engine)} == {
        "theirs": ("ops", True),
        "mine": ("me", False),
        "nobodys": ("", False),
        "images": ("ops", True),
    }
    registry.remove_stale(engine, told.append)
    assert sorted(part.name for part in engine.parts) == ["passing", "theirs", "theirs-master"]
    down = command("swarmlab", "down", "--name", "theirs", "--yes")
    assert f"lab theirs, of a run of ops's that was killed, stays; to remove it: {down}" in told


def test_sockets_of_labs_that_are_gone_are_removed_and_no_others(engine, tmp_path, monkeypatch):
    for name in ("here", "elsewhere", "left"):
        (tmp_path / "labs" / name / "0-master").mkdir(parents=True)
    engine.lab("here", this_process())
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path / "labs" / "elsewhere" / "0-master")
        listening.bind("docker.sock")  # the whole path may be longer than a socket's may be
        monkeypatch.setattr(standing, "answers", lambda url: "elsewhere" in url)
        registry.remove_stale(engine, lambda _: None)
    assert sorted(folder.name for folder in (tmp_path / "labs").iterdir()) == ["elsewhere", "here"]
