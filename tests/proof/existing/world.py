"""A swarm that somebody owns: it has work of its own under load, and everything on it can be dumped and compared.

Its machines are container nodes, which the suites reach over SSH alone.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

from swarmlab.cluster import build_cache
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.labs import outer, registry
from swarmlab.labs.containers.lab import DindLab
from swarmlab.parallel import parallel
from swarmlab.paths import ROOT
from swarmlab.wait import State, wait

NAME = "existing"
#: The ports of the owner's work on each node: of a service's task, and of a container.
PORTS = (8080, 8081)
#: The rules without their counters, which change by themselves.
_FIREWALL = "iptables-save | sed -E 's/\\[[0-9]+:[0-9]+\\]//; /^#/d'"
#: What a run might change on a machine: by name, the command that shows it.
_MACHINE = {
    "users": "cat /etc/passwd /etc/group /etc/shadow /etc/subuid /etc/subgid 2>/dev/null | sort",
    "files": "ls -la --time-style=full-iso /var/tmp /etc/docker /root/.ssh /home/hadoop/.ssh | grep -v '^total'"
    " | grep -v ' \\.*$'",
    "files of commands": "find /root/.docker /home/*/.docker /usr/local/lib/docker-compose 2>/dev/null | sort",
    "names": "cat /etc/hosts /etc/hostname /home/hadoop/.ssh/authorized_keys",
    "firewall": _FIREWALL,
    "listening": "ss -Hlntu | awk '{print $1, $5}' | sort -u",
    "bridges": "ip -oneline link show type bridge | cut -d: -f2 | sort",
    "routes": "ip -4 route",
    "settings": "sysctl -a 2>/dev/null | grep -E '^(net.ipv4.ip_forward|net.ipv4.conf.all|vm.overcommit)' | sort",
}


class World:
    """The swarm as its owner sees it.

    Attributes:
        folder: Holds the key, the known hosts and the inventory.
        name: The name of the lab.
        lab: The lab that its machines are of.
        nodes: Its machines, the manager first.
        inventory: The file of the inventory for the suites.
    """

    def __init__(self, folder: Path, engine: str = "", name: str = NAME, nodes: int = 3, managers: int = 1) -> None:
        """Make the swarm.

        Args:
            folder: See above.
            engine: The engine of its nodes, as swarmlab takes it; empty for the default.
            name: The name of the lab.
            nodes: How many machines it has.
            managers: How many of them are managers.
        """
        self.folder = folder
        self.name = name
        self._managers = managers
        self._outer = outer.connect(print)
        registry.remove_stale(self._outer, print)
        # It is this process's, so the next run removes it if this one is killed.
        self.lab = DindLab(self._outer, engines=engine.split(","), name=name, nodes=nodes)
        self.lab.up()
        self.nodes: list[Node] = self.lab.nodes()
        try:
            self._form()
            self._work()
            self.inventory = self.write_inventory()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Take it down."""
        self.lab.down()
        self._outer.release()

    def docker(self, command: str, node: Node | None = None) -> str:
        """Return what a docker command prints on *node*, the manager by default."""
        done = (node or self.nodes[0]).docker(command)
        assert done.ok, f"docker {command}: {done.output}"
        return done.out.strip()

    def _form(self) -> None:
        """Make a swarm of the nodes."""
        Swarm.form(self.nodes, managers=self._managers, image=self.lab.image)

    def _work(self) -> None:
        """Start the owner's work: services with network, volume, config and secret, and containers beside the swarm."""
        web, redis = self.lab.image("web:1"), self.lab.image("redis")
        self.docker("network create --driver overlay --attachable --label owner=shop shop")
        self.nodes[0].run("echo colour=blue | docker config create shop-settings -")
        self.nodes[0].run("echo word | docker secret create shop-password -")
        publish = f"--publish mode=host,published={PORTS[0]},target=80"
        more = "--config shop-settings --secret shop-password --network shop"
        self.docker(f"service create --detach --name shop_web --mode global {publish} {more} {web}")
        self.docker(f"service create --detach --name shop_db --network shop --mount src=shop-data,dst=/data {redis}")
        # A name that begins as the suites' names do.
        self.docker(f"service create --detach --name swc-mirror --replicas 2 --network shop {web}")
        for node in self.nodes:
            self.docker("network create --label owner=legacy legacy", node)
            self.docker("volume create swc-backup", node)
            self.docker("volume create --label swarm-conformance-of=others others", node)
            options = f"--net legacy --publish {PORTS[1]}:80 --volume swc-backup:/backup --restart always"
            self.docker(f"run --detach --name legacy {options} {web}", node)
            self.docker(f"tag {web} localhost/swc-web:latest", node)
            self.docker(f"tag {redis} redis:latest", node) if node.docker(f"pull -q {redis}").ok else None
            node.run("mkdir -p /var/tmp/swc-notes; echo kept > /var/tmp/swc-notes/file; useradd swc-admin")
        self._answer()

    def _answer(self) -> None:
        def answers() -> State:
            failed = [why for node in self.nodes for port in PORTS if (why := ask(node, port))]
            return State(not failed, "; ".join(failed))

        wait(answers, "the owner's work to answer", deadline=120, every=1)

    def write_inventory(self, name: str = "inventory.yaml", **changes: Any) -> Path:
        """Write an inventory of the nodes, with a key that they accept and their host keys.

        Args:
            name: Name of the file.
            changes: Entries of the inventory to replace.
        """
        key = self.folder / "key"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
            listed = key.with_suffix(".pub").read_text().strip()
            hosts = []
            for node in self.nodes:
                self._admit(node, listed)
                hosts.append(f"{node.address} {node.run('cat /etc/ssh/ssh_host_ed25519_key.pub').out.strip()}")
            (self.folder / "known_hosts").write_text("\n".join(hosts) + "\n")
        content = {
            "key": "key",
            "known_hosts": "known_hosts",
            "nodes": [{"name": node.name, "address": node.address} for node in self.nodes],
            **self._declared(),
            **changes,
        }
        file = self.folder / name
        file.write_text(json.dumps(content))  # which is YAML too
        return file

    def _admit(self, node: Node, key: str) -> None:
        """Let the owner of a key log in as the inventory's user."""
        node.run(f"mkdir -p -m 700 /root/.ssh; echo '{key}' >> /root/.ssh/authorized_keys")

    def _declared(self) -> dict[str, Any]:
        """Return the part of the inventory that declares the document's choices, which this owner has made."""
        network = self.nodes[0].address.rpartition(".")[0]
        choices = {"names": [node.name for node in self.nodes], "network": network, "hosts": True}
        return {"declared": {**choices, "user": "hadoop", "keys": True, "packaged": True, "compose": "1.29.2"}}

    def dump(self) -> dict[str, Any]:
        """Return everything on the swarm and its machines that a run might change."""
        manager = self.nodes[0]
        kinds = ("services", "configs", "secrets", "nodes")
        dump: dict[str, Any] = {kind: _by_id(manager.ask("GET", f"/{kind}")) for kind in kinds}
        dump["nodes"] = {id: {"Spec": one["Spec"], "Status": one["Status"]} for id, one in dump["nodes"].items()}
        swarm = manager.ask("GET", "/swarm")
        dump["swarm"] = {key: swarm[key] for key in ("ID", "Spec", "JoinTokens", "TLSInfo")}
        dump["tasks"] = {
            id: (one["ServiceID"], one.get("NodeID"), one["Status"]["State"], one["Status"].get("ContainerStatus"))
            for id, one in _by_id(manager.ask("GET", "/tasks")).items()
        }
        for node, machine in zip(self.nodes, parallel(_dump_of, self.nodes), strict=True):
            dump[node.name] = machine
        return dump


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a Python module as its owner does, in the project's folder, and return what became of it."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)


def _by_id(listed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {one["ID"]: one for one in listed}


def _dump_of(node: Node) -> dict[str, Any]:
    dump: dict[str, Any] = {
        "containers": {one["Id"]: (one["Names"], one["State"], one["Created"]) for one in node.containers(all=True)},
        "networks": {
            one["Id"]: {key: one[key] for key in ("Name", "Driver", "Scope", "Labels", "IPAM", "Options")}
            for one in node.ask("GET", "/networks")
        },
        "volumes": {one["Name"]: one for one in node.ask("GET", "/volumes")["Volumes"] or []},
        "images": {
            one["Id"]: (sorted(one["RepoTags"] or []), sorted(one["RepoDigests"] or []))
            for one in node.ask("GET", "/images/json", all=True)
        },
        "build cache": sorted(build_cache.records(node)),
        "started": {
            one["Id"]: node.ask("GET", f"/containers/{one['Id']}/json")["State"]["StartedAt"]
            for one in node.containers()
        },
    }
    for name, command in _MACHINE.items():
        dump[name] = node.run(command).out.splitlines()
    return dump


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Return a line for each difference between two dumps."""
    if isinstance(before, dict) and isinstance(after, dict):
        lines = [f"{place}/{key} is gone" for key in before if key not in after]
        lines += [f"{place}/{key} is new: {str(after[key])[:200]}" for key in after if key not in before]
        for key in before:
            if key in after:
                lines += differences(before[key], after[key], f"{place}/{key}")
        return lines
    if isinstance(before, list) and isinstance(after, list):
        lines = [f"{place} lost {one}" for one in before if one not in after]
        return lines + [f"{place} has now {one}" for one in after if one not in before]
    return [] if before == after else [f"{place} was {str(before)[:200]}, is {str(after)[:200]}"]


# Load


def ask(node: Node, port: int) -> str:
    """Ask the owner's work; return what went wrong, or an empty string."""
    try:
        reply = requests.get(f"http://{node.address}:{port}/", timeout=10, headers={"Connection": "close"})
    except requests.exceptions.RequestException as failed:
        return f"{node} on port {port}: {failed}"
    return "" if reply.ok else f"{node} on port {port}: HTTP {reply.status_code}"


class Load:
    """Requests to the owner's work.

    Attributes:
        count: How many were sent.
        lost: A line for each that got no answer.
    """

    def __init__(self) -> None:
        self.count = 0
        self.lost: list[str] = []


@contextlib.contextmanager
def load(world: World) -> Iterator[Load]:
    """Ask the owner's work on every node until the context ends."""
    load = Load()
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.1):
            for node in world.nodes:
                for port in PORTS:
                    load.count += 1
                    if lost := ask(node, port):
                        load.lost.append(f"{time.strftime('%H:%M:%S')} {lost}")

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield load
    finally:
        ended.set()
        thread.join()
