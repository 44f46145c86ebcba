"""A swarm made by other means than the suites' run on it: its services under load, and all that can be told of it.

Its machines are container nodes, which the run reaches over SSH alone.
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

from swarmlab.cluster.node import Node
from swarmlab.labs.containers import outer
from swarmlab.labs.containers.lab import DindLab
from swarmlab.parallel import parallel
from swarmlab.paths import ROOT

NAME = "existing"
#: Published by what the swarm's owner runs, on each node: a service's task, and a container of docker run.
PORTS = (8080, 8081)
#: What cannot differ by a run's doing: times of last use, counters.
_FIREWALL = "iptables-save | sed -E 's/\\[[0-9]+:[0-9]+\\]//; /^#/d'"
_MACHINE = {
    "users": "cat /etc/passwd /etc/group /etc/shadow /etc/subuid /etc/subgid 2>/dev/null | sort",
    "files": "ls -la --time-style=full-iso /var/tmp /etc/docker /root/.ssh /home/hadoop/.ssh | grep -v '^total'"
    " | grep -v ' \\.*$'",
    "names": "cat /etc/hosts /etc/hostname /home/hadoop/.ssh/authorized_keys",
    "firewall": _FIREWALL,
    "listening": "ss -Hlntu | awk '{print $1, $5}' | sort -u",
    "bridges": "ip -oneline link show type bridge | cut -d: -f2 | sort",
    "routes": "ip -4 route",
    "settings": "sysctl -a 2>/dev/null | grep -E '^(net.ipv4.ip_forward|net.ipv4.conf.all|vm.overcommit)' | sort",
}


class World:
    """The swarm, as its owner sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = [sys.executable, "-m", "swarmlab", "up", "--name", NAME]
        subprocess.run(made, cwd=ROOT, check=True, capture_output=True)
        self._outer = outer.connect(print)
        self.lab = DindLab.attach(self._outer, NAME)  # from now on this process is where the nodes are
        self.nodes: list[Node] = self.lab.nodes()
        self._work()
        self.inventory = self.write_inventory()

    def close(self) -> None:
        """Take it down."""
        self._outer.release()
        down = [sys.executable, "-m", "swarmlab", "down", "--name", NAME]
        subprocess.run(down, cwd=ROOT, check=False, capture_output=True)

    def docker(self, words: str, node: Node | None = None) -> str:
        """What a docker command of the owner's printed."""
        done = (node or self.nodes[0]).docker(words)
        assert done.ok, f"docker {words}: {done.said}"
        return done.out.strip()

    def _work(self) -> None:
        """What the owner runs: services with network, volume, config and secret, and containers beside the swarm."""
        web, redis = self.lab.image("web:1"), self.lab.image("redis")
        self.docker("network create --driver overlay --attachable --label owner=shop shop")
        self.nodes[0].run("echo colour=blue | docker config create shop-settings -")
        self.nodes[0].run("echo word | docker secret create shop-password -")
        publish = f"--publish mode=host,published={PORTS[0]},target=80"
        more = "--config shop-settings --secret shop-password --network shop"
        self.docker(f"service create --detach --name shop_web --mode global {publish} {more} {web}")
        self.docker(f"service create --detach --name shop_db --network shop --mount src=shop-data,dst=/data {redis}")
        # Names that begin as the suites' do, and are not of theirs.
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
        end = time.monotonic() + 120
        while True:
            asked = [ask(node, port) for node in self.nodes for port in PORTS]
            if not any(asked):
                return
            assert time.monotonic() < end, f"the owner's work does not answer: {asked}"
            time.sleep(1)

    def write_inventory(self, name: str = "inventory.yaml", **changes: Any) -> Path:
        """Write an inventory of the nodes, with a key that they let in and the host keys that they have."""
        key = self.folder / "key"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
            listed = key.with_suffix(".pub").read_text().strip()
            hosts = []
            for node in self.nodes:
                node.run(f"mkdir -p -m 700 /root/.ssh; echo '{listed}' >> /root/.ssh/authorized_keys")
                hosts.append(f"{node.address} {node.run('cat /etc/ssh/ssh_host_ed25519_key.pub').out.strip()}")
            (self.folder / "known_hosts").write_text("\n".join(hosts) + "\n")
        told = {
            "key": "key",
            "known_hosts": "known_hosts",
            "nodes": [{"name": node.name, "address": node.address} for node in self.nodes],
            **changes,
        }
        file = self.folder / name
        file.write_text(json.dumps(told))  # which is YAML too
        return file

    def dump(self) -> dict[str, Any]:
        """All that there is on the swarm and its machines, as far as a run might change it."""
        manager = self.nodes[0]
        kinds = ("services", "configs", "secrets", "nodes")
        told: dict[str, Any] = {kind: _by_id(manager.ask("GET", f"/{kind}")) for kind in kinds}
        told["nodes"] = {id: {"Spec": one["Spec"], "Status": one["Status"]} for id, one in told["nodes"].items()}
        swarm = manager.ask("GET", "/swarm")
        told["swarm"] = {key: swarm[key] for key in ("ID", "Spec", "JoinTokens", "TLSInfo")}
        told["tasks"] = {
            id: (one["ServiceID"], one.get("NodeID"), one["Status"]["State"], one["Status"].get("ContainerStatus"))
            for id, one in _by_id(manager.ask("GET", "/tasks")).items()
        }
        for node, seen in zip(self.nodes, parallel(_dump_of, self.nodes), strict=True):
            told[node.name] = seen
        return told


def _by_id(listed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {one["ID"]: one for one in listed}


def _dump_of(node: Node) -> dict[str, Any]:
    told: dict[str, Any] = {
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
        "build cache": sorted(one["ID"] for one in node.ask("GET", "/system/df").get("BuildCache") or []),
        "started": {
            one["Id"]: node.ask("GET", f"/containers/{one['Id']}/json")["State"]["StartedAt"]
            for one in node.containers()
        },
    }
    for name, command in _MACHINE.items():
        told[name] = node.run(command).out.splitlines()
    return told


def differences(before: Any, after: Any, place: str = "") -> list[str]:
    """Where two dumps differ, a line each."""
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
    """Ask the owner's work; gives what went wrong."""
    try:
        reply = requests.get(f"http://{node.address}:{port}/", timeout=10, headers={"Connection": "close"})
    except requests.exceptions.RequestException as failed:
        return f"{node} on port {port}: {failed}"
    return "" if reply.ok else f"{node} on port {port}: HTTP {reply.status_code}"


class Load:
    """Requests to the owner's work, while it goes on: how many, and those that got no answer."""

    def __init__(self) -> None:
        self.count = 0
        self.lost: list[str] = []


@contextlib.contextmanager
def load(world: World) -> Iterator[Load]:
    """Ask the owner's work again and again, on every node."""
    seen = Load()
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.1):
            for node in world.nodes:
                for port in PORTS:
                    seen.count += 1
                    if lost := ask(node, port):
                        seen.lost.append(f"{time.strftime('%H:%M:%S')} {lost}")

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
