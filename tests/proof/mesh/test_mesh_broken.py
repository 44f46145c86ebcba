"""The mesh, and the machines below it, are broken in many ways: what fails names the node and the cause.

`make proof-mesh` (an hour; ENGINE: another engine).
"""

import re
import time

import pytest

from fixtures.at_failure import seen
from suites.support.joined import boxes
from suites.support.traffic import all_answer, every_size_reached, from_each
from swarmlab.cluster.swarm import Swarm
from swarmlab.labs.machines.libvirt import Libvirt
from swarmlab.labs.machines.places import NAME
from swarmlab.preflight import preflight
from swarmlab.wait import State, eventually, wait
from tests.proof.mesh.faults import BODIES, FAULTS, MESH, START
from tests.proof.planting import END, background

pytestmark = pytest.mark.lab

#: Files that make a machine and its engine known, and that a copy of the machine has too.
_IDENTITY = ("/etc/machine-id", "/etc/docker/key.json", "/var/lib/docker/engine-id")
#: Has the next start of an engine find a log of Raft in which a disk that acknowledged its writes has nothing.
_LOST_WRITES = """
cat > /root/lose-writes <<'END'
rm /etc/systemd/system/docker.service.d/planted.conf
for F in /var/lib/docker/swarm/raft/wal-v3-encrypted/*.wal; do
    dd if=/dev/zero of="$F" bs=256 seek=4 count=4 conv=notrunc
done
END
mkdir -p /etc/systemd/system/docker.service.d
cat > /etc/systemd/system/docker.service.d/planted.conf <<'END'
[Service]
ExecStartPre=/bin/sh /root/lose-writes
END
systemctl daemon-reload; sync
"""
#: Seconds at reference speed after which the mesh is taken for whole, and for broken: the faults last.
_WHOLE, _BROKEN = 45, 5


class Site:
    """A service on every node of three machines, published through the mesh and in an overlay network."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.port = cluster.port()
        self.network = cluster.create_network("site")
        self.service = cluster.create_service(
            "web", "web:1", everywhere=True, publish={self.port: 80}, networks=[self.network]
        )
        self.service.wait_running(len(cluster.nodes))
        self.probes = boxes(cluster, self.network)

    def mesh(self, deadline):
        """Expect that every node passes requests on to every task."""
        tasks = self.service.running()
        eventually(
            lambda: from_each(
                self.cluster.nodes, lambda node: all_answer(tasks, [node.get(self.port, timeout=1) for _ in range(9)])
            ),
            f"every node to pass requests to its port {self.port} on to all tasks",
            deadline=deadline,
            alike=True,
            stable=2,
        )

    def bodies(self, deadline):
        """Expect that bodies of every size pass between all nodes."""
        tasks = self.service.running()
        eventually(
            lambda: every_size_reached(self.cluster, self.probes, tasks, self.network),
            "bodies of every size to pass between all nodes",
            deadline=deadline,
            alike=True,
        )

    def start(self, deadline):
        """Expect that a new service has a task on every node."""
        service = self.cluster.create_service("new", "idle", everywhere=True)
        try:
            eventually(
                lambda: service.converged(len(self.cluster.nodes)), f"{service} on every node", deadline=deadline
            )
        finally:
            service.remove()


def hold_disk(lab, node, rate):
    """Have the hypervisor hold a machine's disk to so many reads and writes a second; 0: to none."""
    hypervisor = Libvirt.connect(private=lab.outer.private, progress=print)
    hypervisor.virsh("blkdeviotune", f"{NAME}-{node}", "vda", "--total-iops-sec", str(rate), "--live")


@pytest.fixture(scope="module")
def site(lab):
    nodes = lab.more(3)
    site = Site(Swarm.form(nodes, managers=3, image=lab.image))
    site.mesh(_WHOLE)
    yield site
    lab.remove(nodes)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_what_is_broken_is_named_with_its_node(site, lab, fault):
    control = {MESH: site.mesh, BODIES: site.bodies, START: site.start}.get(fault.control)
    began = time.monotonic()
    fault.plant(site.cluster.nodes)
    [node] = fault.nodes
    if fault.rate:
        hold_disk(lab, node, fault.rate)
    try:
        failed = ""
        if control:
            with pytest.raises(AssertionError) as raised:
                control(_BROKEN)
            failed = str(raised.value)
        # What follows from a fault may take a while to be there.
        said = wait(
            lambda: State(fault.named(text := seen(site.cluster, most=9)), text),
            f"{fault.name} to be named",
            deadline=10,
            every=2,
            error=AssertionError,
        ).summary
    finally:
        print(f"{fault.name}: {time.monotonic() - began:.0f} s\n  failed: {failed}")
        if fault.rate:
            hold_disk(lab, node, 0)
        site.cluster.node(node).run(fault.heal)
    print(f"  named: {said}")
    if control:
        control(_WHOLE)
    site.mesh(_WHOLE)


def told(cluster, *checks):
    """Return what preflight finds wrong by some of its checks."""
    return [finding for finding in preflight(cluster) if finding.check in checks and finding.level.trouble]


def test_a_machine_that_reboots_during_an_update_is_named(site):
    def one_by_one(spec):
        spec["UpdateConfig"] = {"Parallelism": 1, "Monitor": 600 * 10**9, "FailureAction": "pause"}

    cluster = site.cluster
    node = cluster.node("slave01")
    service = cluster.create_service("rolling", "web:1", everywhere=True, alter=one_by_one)
    try:
        service.wait_running(len(cluster.nodes))
        service.update(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Image=cluster.image("web:2")))

        def updated():
            images = {task.node: task.image for task in service.running()}
            return State(images.get(node.name) == cluster.image("web:2"), str(images))

        eventually(updated, f"the updated task of {service} to run on {node.name}", deadline=60)
        node.reboot()
        node.wait_up()

        def named():
            words = "; ".join(map(str, told(cluster, "updates")))
            return State(f"{node.name}: the update of {service} is paused" in words, words)

        print(f"  named: {wait(named, 'the update to be told of', deadline=60, every=2, error=AssertionError).summary}")
    finally:
        service.remove()
    site.mesh(_WHOLE)


def test_a_machine_that_is_a_copy_of_another_is_named(site):
    original, copy = (site.cluster.node(name) for name in ("slave01", "slave02"))
    copied = {path: original.run(f"base64 -w 0 {path} 2>/dev/null").out for path in _IDENTITY}
    plant = [f"cp -p {path} {path}.own; echo {copied[path]} | base64 -d > {path}" for path in copied if copied[path]]
    copy.run("; ".join([*plant, "systemctl restart docker"])).expect("the identity of another machine")
    copy.wait_up()
    try:
        found = told(site.cluster, "copies")
        print("\n".join(map(str, found)))
        summaries = " ".join(finding.summary for finding in found if set(finding.nodes) == {"slave01", "slave02"})
        assert "2 machines have the machine id" in summaries
        assert "2 engines have the engine id" in summaries
    finally:
        heal = [f"mv {path}.own {path}" for path in copied if copied[path]]
        copy.run("; ".join([*heal, "systemctl restart docker"]))
    site.mesh(_WHOLE)


def test_a_manager_whose_disk_lost_writes_with_its_power_is_named(site):
    # The last test: a manager does not get over it by itself.
    writer, node = (site.cluster.node(name) for name in ("master", "slave02"))
    node.run(_LOST_WRITES).expect("a disk that loses writes")
    writer.run(background("N=0; while :; do N=$((N+1)); echo $N | docker config create swc-write-$N -; done"))
    wait(lambda: writer.run("docker config ls -q --filter name=swc-write-9").out.strip(), "writes", deadline=30)
    node.kill()
    node.start()
    node.wait_up()
    writer.run(END)

    def named():
        found = [finding for finding in told(site.cluster, "engines-answer", "quorum") if node.name in finding.nodes]
        words = "; ".join(map(str, found))
        return State(bool(re.search(r"it ended with|takes no part in the swarm|agreed leader", words)), words)

    # Its engine starts a few times before systemd gives up.
    print(wait(named, f"the engine of {node} to be told of", deadline=60, every=2, error=AssertionError).summary)
