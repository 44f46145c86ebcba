"""A run in a container of the engine: which container it is, its place on networks, and who owns a lab."""

import os
from types import SimpleNamespace

import docker
import pytest

from swarmlab import ownership
from swarmlab.errors import UsageError
from swarmlab.host import containers_here, process
from swarmlab.images import own
from swarmlab.labs import inside
from swarmlab.ownership import CONTAINER, this_process

ID, OTHER = "ab" * 32, "cd" * 32
MOUNT = "612 589 254:1 /var/lib/docker/containers/{}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n"


def refused(text):
    return docker.errors.APIError("409", explanation=text)


class Containers(dict):
    """The containers of an engine by id."""

    def get(self, id):
        found = [each for known, each in self.items() if known.startswith(id)]
        if not found:
            raise docker.errors.NotFound(id)
        return found[0]


def container(id, status="running", **more):
    return SimpleNamespace(id=id, name=id[:2], status=status, labels={}, attrs={"Image": "image"}, **more)


def client(*containers, name="host"):
    made = Containers({each.id: each for each in containers})
    return SimpleNamespace(containers=made, info=lambda: {"Name": name})


@pytest.fixture
def here(monkeypatch):
    """Have this process run in a container, as far as it knows by itself."""
    monkeypatch.setattr(own, "containers_here", lambda: [ID])
    monkeypatch.setattr(ownership, "_home", "")


@pytest.mark.parametrize(
    ("mounts", "groups", "found"),
    [
        (MOUNT.format(ID), "0::/\n", [ID]),
        ("", f"4:memory:/docker/{ID}\n0::/system.slice/docker-{OTHER}.scope\n", [ID, OTHER]),
        (MOUNT.format(ID), f"1:cpu:/docker/{ID}\n", [ID]),
        (MOUNT.format(ID).replace("/etc/hostname", "/elsewhere"), "0::/\n", []),
        ("", f"1:cpu:/{ID}ab\n", []),
    ],
)
def test_the_container_is_found_by_its_files_and_its_control_groups(tmp_path, mounts, groups, found):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "mountinfo").write_text(mounts)
    (tmp_path / "proc" / "self" / "cgroup").write_text(groups)
    assert containers_here(tmp_path) == found


def test_outside_of_containers_none_is_found(tmp_path):
    assert containers_here(tmp_path) == []


@pytest.mark.usefixtures("here")
def test_a_container_counts_only_if_this_engine_runs_it():
    assert own.own_container(client(container(ID))).id == ID
    assert own.own_container(client(container(ID, "exited"))) is None
    assert own.own_container(client(container(OTHER))) is None


class Network:
    """A network of an engine, on which some addresses are in use."""

    def __init__(self, *taken, refusal=""):
        self.name, self.taken, self.refusal, self.joined = "swarmlab-x", taken, refusal, []
        self.attrs = {"Containers": {}, "IPAM": {"Config": [{"Subnet": "192.168.57.0/24"}]}, "Labels": {}}
        self.id = "n"

    def reload(self):
        pass

    def connect(self, which, *, ipv4_address):
        if self.refusal:
            raise refused(self.refusal)
        if ipv4_address in self.taken:
            raise refused("Address already in use")
        self.joined.append((which.id, ipv4_address))

    def disconnect(self, which, *, force):
        assert force
        self.joined.remove(which.id)


def connect(network, which):
    made = client(which)
    made.networks = SimpleNamespace(get=lambda id: network if id == network.id else None)
    inside.connect(made, which, network.id)


def test_the_container_gets_an_address_that_no_node_has():
    network = Network("192.168.57.2", "192.168.57.3")
    connect(network, container(ID))
    assert network.joined == [(ID, "192.168.57.4")]


def test_a_container_that_is_connected_stays_so():
    network = Network(refusal="must not be asked")
    network.attrs["Containers"] = {ID: {}}
    connect(network, container(ID))
    connect(Network(refusal="endpoint with name ab already exists in network swarmlab-x"), container(ID))


def test_a_container_that_cannot_be_connected_is_told_with_the_mend():
    why = "container sharing network namespace with another container or host cannot be connected to any other network"
    with pytest.raises(
        UsageError, match=r"container ab of this run cannot be connected .*\(--network bridge, the default\)"
    ):
        connect(Network(refusal=why), container(ID))


def test_guests_leave_a_network_and_its_own_containers_stay():
    network = Network()
    node, guest = container(ID), container(OTHER)
    node.labels = {ownership.LABEL: "x"}
    network.client = client(node, guest)
    network.attrs |= {"Labels": {ownership.LABEL: "x"}, "Containers": {ID: {}, OTHER: {}, "ef" * 32: {}}}
    network.joined = [ID, OTHER]
    inside.disconnect_guests(network)
    assert network.joined == [ID]


# Owners


def in_container(id, pid=7, started="100"):
    return f"{CONTAINER}{id[:12]}/{pid}/{started}"


def stat(started, state="S"):
    return f"7 (py) test) {state} {' '.join('0' * 18)} {started} 0 0".encode()


def asked(code, output, status="running"):
    def exec_run(command):
        assert command == ["cat", "/proc/7/stat"]
        return SimpleNamespace(exit_code=code, output=output)

    return client(container(OTHER, status, exec_run=exec_run))


@pytest.mark.parametrize(
    ("engine", "alive"),
    [
        (client(), False),
        (asked(0, stat(100), "exited"), False),
        (asked(0, stat(100)), True),
        (asked(0, stat(101)), False),
        (asked(0, stat(100, "Z")), False),
        (asked(1, b"cat: /proc/7/stat: No such file or directory"), False),
        (asked(127, b"no cat"), True),
    ],
)
def test_a_process_in_another_container_is_asked_of_the_engine(engine, alive):
    assert inside.alive(engine, in_container(OTHER)) is alive


def test_a_container_that_is_halted_still_owns_its_lab():
    def exec_run(_):
        raise refused("Container is paused")

    assert inside.alive(client(container(OTHER, "paused", exec_run=exec_run)), in_container(OTHER)) is True


def test_a_process_of_this_container_is_looked_for_here(monkeypatch):
    monkeypatch.setattr(ownership, "_home", "")
    ownership.runs_in(ID)
    assert this_process() == in_container(ID, os.getpid(), process(os.getpid()).started)
    assert inside.alive(client(), this_process()) is True
    assert inside.alive(client(), in_container(ID, os.getpid(), "1")) is False
    assert ownership.is_here(in_container(ID))
    assert not ownership.is_here(in_container(OTHER))


def test_outside_a_container_nothing_is_known_of_other_hosts():
    assert inside.alive(client(name="elsewhere"), "elsewhere/7/100") is None


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("code", "printed", "alive"),
    [(0, stat(100), True), (0, stat(99), False), (1, b"", False)],
)
def test_in_a_container_a_process_of_the_engines_host_is_looked_for_there(code, printed, alive):
    engine, removed = client(container(ID), name="elsewhere"), []

    def create(image, command, **how):
        assert (image, command, how["entrypoint"], how["pid_mode"]) == ("image", ["/proc/7/stat"], "cat", "host")
        return SimpleNamespace(
            start=lambda: None,
            wait=lambda **_: {"StatusCode": code},
            logs=lambda **_: printed,
            remove=lambda **_: removed.append(True),
        )

    engine.containers.create = create
    assert inside.alive(engine, "elsewhere/7/100") is alive
    assert removed == [True]
    assert inside.alive(engine, "another-host/7/100") is None


def test_runs_in_different_containers_give_their_labs_different_names(monkeypatch):
    monkeypatch.setattr(ownership, "containers_here", lambda: [ID])
    assert ownership.own_suffix() == f"ababab-{os.getpid()}"
    monkeypatch.setattr(ownership, "containers_here", list)
    assert ownership.own_suffix() == str(os.getpid())
