"""The kinds of lab: what each says of itself, and how a lab on an engine leads to its kind. No lab is made."""

import os

import pytest

from swarmlab.errors import UsageError
from swarmlab.labs import registry
from swarmlab.labs.base import FoundKind, Request
from swarmlab.labs.hosts import MOST, host_names
from swarmlab.labs.registry import DEFAULT, KINDS, MADE
from swarmlab.labs.state import NodeState
from swarmlab.paths import command

#: The kinds whose labs exist already.
FOUND = {word: kind for word, kind in KINDS.items() if isinstance(kind, FoundKind)}


def test_kinds_are_known_by_their_words():
    assert [registry.kind_named(word).word for word in KINDS] == ["dind", "vagrant", "inventory"]
    assert set(MADE) | set(FOUND) == set(KINDS)
    with pytest.raises(UsageError, match="--lab cloud: no such lab; choose one of dind, vagrant, inventory"):
        registry.kind_named("cloud")


def test_an_option_belongs_to_one_kind():
    names = [option.name for kind in KINDS.values() for option in kind.options]
    assert len(set(names)) == len(names)
    assert all(name.startswith("--") for name in names)


@pytest.mark.parametrize("word", list(MADE))
def test_a_lab_of_a_rehearsal_can_be(word):
    kind = MADE[word]
    kind.check(kind.own(Request(nodes=sum(kind.shape)), "rehearsal"))
    assert kind.disruptable(Request())


def test_a_lab_that_a_process_makes_for_itself_is_named_after_it():
    asked = Request(engines=("trixie",))
    own = DEFAULT.own(asked, "run")
    assert (own.name, own.engines) == (f"run-{os.getpid()}", ("trixie",))
    assert MADE["vagrant"].own(asked, "run").name == "machines"


def test_only_an_owners_word_lets_a_swarm_that_exists_be_hurt():
    (kind,) = FOUND.values()
    values = {"--inventory": "swarm.yaml", "--may-disrupt": "abc"}
    assert kind.disruptable(kind.request(values.get))
    assert not kind.disruptable(kind.request({"--inventory": "swarm.yaml"}.get))
    with pytest.raises(UsageError, match="--lab inventory: needs --inventory FILE"):
        kind.check(Request())


class Nothing:
    """An outer engine without a lab."""

    def __init__(self):
        self.client = self.networks = self.volumes = self

    def list(self, **_):
        return []

    def containers(self, *_):
        return []


@pytest.mark.parametrize(("name", "mend"), [("swarmlab", "swarmlab up"), ("machines", "swarmlab up --lab vagrant")])
def test_a_lab_that_is_not_up_is_one_line_with_the_command_that_makes_it(name, mend):
    for verb in (registry.attach, lambda outer, name: registry.remove(outer, name, print)):
        with pytest.raises(UsageError) as missing:
            verb(Nothing(), name)
        assert str(missing.value) == f"no lab {name!r}; labs: none is up; make one with: {command(*mend.split())}"


def test_hosts_have_the_documents_names():
    assert host_names(3) == ["master", "slave01", "slave02"]
    assert host_names(1) == ["master"]
    assert host_names(MOST)[-1] == "slave59"


def test_a_node_is_described_in_a_line():
    swarm = {"ControlAvailable": True, "LocalNodeState": "active"}
    line = str(NodeState.of("master", "10.0.0.1", "running", {"ServerVersion": "28.5.2", "Swarm": swarm}))
    assert line.split() == ["master", "10.0.0.1", "running", "engine", "28.5.2", "manager"]
    assert str(NodeState.of("master", "10.0.0.1", "running", None)).endswith("engine does not answer")
    assert str(NodeState.of("master", "10.0.0.1", "exited", {})).endswith("exited")
    alone = swarm | {"LocalNodeState": "inactive"}
    line = str(NodeState.of("master", "10.0.0.1", "running", {"ServerVersion": "28.5.2", "Swarm": alone}, 2))
    assert line.endswith("engine 28.5.2        swarm: inactive (cluster 2)")
