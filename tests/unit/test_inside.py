"""A run in a container of the engine: which container it is, its place on networks, and who owns a lab."""

import io
import os
import socket
import tarfile
from types import SimpleNamespace

import docker
import pytest

from swarmlab import ownership
from swarmlab.errors import LabError, UsageError
from swarmlab.host import containers_here, process
from swarmlab.images import locks, own
from swarmlab.images.locks import Held
from swarmlab.labs import inside
from swarmlab.ownership import CONTAINER, this_process
from tests.unit.helpers import Volumes

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
    assert own.alive(engine, in_container(OTHER)) is alive


def test_a_container_that_is_halted_still_owns_its_lab():
    def exec_run(_):
        raise refused("Container is paused")

    assert own.alive(client(container(OTHER, "paused", exec_run=exec_run)), in_container(OTHER)) is True


def test_a_process_of_this_container_is_looked_for_here(monkeypatch):
    monkeypatch.setattr(ownership, "_home", "")
    ownership.runs_in(ID)
    assert this_process() == in_container(ID, os.getpid(), process(os.getpid()).started)
    assert own.alive(client(), this_process()) is True
    assert own.alive(client(), in_container(ID, os.getpid(), "1")) is False
    assert ownership.is_here(in_container(ID))
    assert not ownership.is_here(in_container(OTHER))


def test_outside_a_container_nothing_is_known_of_other_hosts():
    assert own.alive(client(name="elsewhere"), "elsewhere/7/100") is None


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
    assert own.alive(engine, "elsewhere/7/100") is alive
    assert removed == [True]
    assert own.alive(engine, "another-host/7/100") is None


def test_runs_in_different_containers_give_their_labs_different_names(monkeypatch):
    monkeypatch.setattr(ownership, "containers_here", lambda: [ID])
    assert ownership.own_suffix() == f"ababab-{os.getpid()}"
    monkeypatch.setattr(ownership, "containers_here", list)
    assert ownership.own_suffix() == str(os.getpid())


# Locks


def test_a_lock_on_an_engine_is_held_by_one_and_given_back():
    engine = SimpleNamespace(volumes=Volumes())
    with locks.take(engine, "x-use", {ownership.LABEL: "x"}):
        [labels] = engine.volumes.values()
        assert labels[ownership.LABEL] == "x"
        with pytest.raises(Held, match=rf"process {os.getpid()} \(.*; since 20.*\)"):
            locks.take(engine, "x-use", {})
    assert not engine.volumes
    locks.take(engine, "x-use", {}).close()


def test_a_holder_in_another_container_is_named_and_one_that_has_ended_holds_nothing():
    engine = asked(0, stat(100))
    engine.volumes = Volumes({"swarmlab-x-use-lock": {ownership.OWNER: f"{in_container(OTHER)}/0a1b"}})
    with pytest.raises(Held, match=f"process 7 in container {OTHER[:12]}"):
        locks.take(engine, "x-use", {})
    del engine.containers[OTHER]
    with locks.take(engine, "x-use", {}):
        assert ownership.owner_of(engine.volumes["swarmlab-x-use-lock"][ownership.OWNER]).pid == str(os.getpid())


def test_who_finds_a_lock_without_a_holder_late_does_not_break_that_of_another():
    left = "swarmlab-x-use-lock"
    engine = SimpleNamespace(volumes=Volumes({left: {ownership.OWNER: f"{socket.gethostname()}/1/1/0a1b"}}))
    taken, create = [], engine.volumes.create

    def late(name, labels):
        made = create(name, labels)
        if not taken:  # what is found is broken and taken by another process before this one can act on it
            taken.append(name)
            taken.append(locks.take(engine, "x-use", {}))
        return made

    engine.volumes.create = late
    with pytest.raises(Held):
        locks.take(engine, "x-use", {})
    assert list(engine.volumes) == [left]
    taken[1].close()
    assert not engine.volumes


def test_who_waits_for_a_lock_on_an_engine_says_for_whom():
    engine, said = SimpleNamespace(volumes=Volumes()), []
    held = locks.take(engine, "images", {})

    def hear(line):
        said.append(line)
        held.close()

    with locks.alone_on(engine, "images", hear):
        assert len(engine.volumes) == 1
    assert not engine.volumes
    assert [line.startswith(f"waiting for process {os.getpid()} (") for line in said] == [True]


def test_a_lock_that_was_taken_over_is_not_given_back_by_who_had_it():
    engine = SimpleNamespace(volumes=Volumes())
    first = locks.take(engine, "images", {})
    engine.volumes["swarmlab-images-lock"] = {ownership.OWNER: "another/1/1/2"}
    first.close()
    assert engine.volumes


# What is made in a container of the same image


class Maker:
    """A container that is made of this one's image, and what becomes of its command."""

    def __init__(self, code=0, said=b""):
        self.code, self.said, self.given, self.removed, self.config = code, said, {}, False, {}
        self.client = SimpleNamespace(api=self, containers=SimpleNamespace(get=lambda _: self))
        self.attrs = {"Image": "image"}

    def create_container_from_config(self, config):
        self.config = config
        return {"Id": "made"}

    def put_archive(self, folder, archive):
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            self.given = {f"{folder}{name}" for name in files.getnames()}

    def start(self):
        assert self.given

    def wait(self, **_):
        return {"StatusCode": self.code}

    def logs(self):
        return self.said

    def get_archive(self, place):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as files:
            entry = tarfile.TarInfo(place.lstrip("/"))
            entry.size = 4
            files.addfile(entry, io.BytesIO(b"root"))
        return [archive.getvalue()[:700], archive.getvalue()[700:]], {}

    def remove(self, **_):
        self.removed = True


def make(maker, tmp_path):
    (tmp_path / "node").mkdir()
    (tmp_path / "node" / "setup").write_text("true\n")
    return own.make_file(maker, ["mmdebstrap", "/root.tar"], tmp_path / "node", "/root.tar", tmp_path / "root.tar")


def test_a_file_is_made_as_root_in_a_container_of_the_same_image(monkeypatch, tmp_path):
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    maker = Maker()
    assert make(maker, tmp_path) == ""
    assert (tmp_path / "root.tar").read_bytes() == b"root"
    assert not (tmp_path / "root.tar.part").exists()
    assert {"/node", "/node/setup"} <= maker.given
    assert (maker.config["Image"], maker.config["User"], maker.config["Cmd"]) == (
        "image",
        "0",
        ["mmdebstrap", "/root.tar"],
    )
    assert "http_proxy=http://proxy:3128" in maker.config["Env"]
    assert ownership.OWNER in maker.config["Labels"]
    assert maker.removed


def test_what_failed_there_is_returned_and_nothing_is_left(tmp_path):
    maker = Maker(25, b"E: Unable to locate package nothing\n")
    assert make(maker, tmp_path) == "E: Unable to locate package nothing\n"
    assert maker.removed
    assert not (tmp_path / "root.tar").exists()


def test_an_engine_that_refuses_such_a_container_is_told(tmp_path):
    maker = Maker()

    def refuse(_):
        raise refused("capabilities are not allowed")

    maker.create_container_from_config = refuse
    with pytest.raises(LabError, match="no container can be made of this one's image: capabilities are not allowed"):
        make(maker, tmp_path)
