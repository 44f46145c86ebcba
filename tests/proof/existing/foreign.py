"""A sound swarm that somebody formed by bare commands, with none of the document's own choices."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from typing_extensions import override

from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm, has_ingress
from swarmlab.wait import wait
from tests.proof.existing.world import World

#: The owner's host names; one is whole, with its domain.
NAMES = ("web1", "db1.example.internal", "app-3")
#: The owner's user, who becomes root by sudo. There is no hadoop, and no user has a key for another node.
USER = "ops"
#: The owner's settings of the engine, each of which is sound.
ENGINE = {
    "insecure-registries": ["registry:5000"],
    "bip": "172.29.7.1/24",
    "data-root": "/var/lib/docker/of-ours",
    "icc": False,
    "init": True,
    "log-driver": "none",
    "userland-proxy": False,
}
#: The owner's settings of the swarm.
SWARM = "--cert-expiry 720h --task-history-limit 1"
#: A time zone that is neither UTC nor at whole hours.
_ZONE = Path("/usr/share/zoneinfo/Asia/Kathmandu")

_SETTLE = """
hostname {name}; echo {name} > /etc/hostname
grep registry /etc/hosts > /run/registry
{{ echo '127.0.0.1 localhost'; echo '127.0.1.1 {name}'; cat /run/registry; }} > /run/hosts; cat /run/hosts > /etc/hosts
userdel --remove hadoop 2>/dev/null
rm -rf /root/.ssh
useradd --create-home --shell /bin/bash --groups docker {user}
echo '{user} ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/{user}
mkdir -p ~{user}/.docker
echo '{settings}' > ~{user}/.docker/config.json; mkdir -p /root/.docker; cp ~{user}/.docker/config.json /root/.docker/
chown -R {user}: ~{user}/.docker
printf 'PermitRootLogin no\\nPasswordAuthentication yes\\n' > /etc/ssh/sshd_config.d/lab.conf
kill -HUP $(pgrep -o -x sshd)
echo {zone} | base64 -d > /etc/localtime
"""
#: The owner's settings of the docker command.
COMMAND = {
    "servicesFormat": "{{.Name}}",
    "volumesFormat": "table {{.Name}}",
    "tasksFormat": "{{.ID}}",
    "psFormat": "table {{.Names}}",
    "nodesFormat": "{{.Hostname}}",
    "imagesFormat": "{{.ID}}",
    "proxies": {"default": {"httpProxy": "http://192.0.2.1:3128"}},
}


class Foreign(World):
    """The swarm. It has one manager, or three."""

    def __init__(self, folder: Path, engine: str = "", *, managers: int = 1) -> None:
        """Make it (see `World`)."""
        self.managers = managers
        super().__init__(folder, engine, name="foreign")

    @override
    def _form(self) -> None:
        first = self.nodes[0]
        for node, name in zip(self.nodes, NAMES, strict=True):
            node.run(f"echo '{json.dumps(ENGINE)}' > /etc/docker/daemon.json").expect("settings")
            node.stop()
            node.start()
            zone = base64.b64encode(_ZONE.read_bytes()).decode() if _ZONE.exists() else ""
            settle = _SETTLE.format(name=name, user=USER, settings=json.dumps(COMMAND), zone=zone)
            node.run(settle).expect(f"settings of {name}")
            node.name = name
        self.docker(f"swarm init --advertise-addr {first.address} {SWARM}")
        # Before others join: engines that lose the network that init made may not be given the new one.
        first.run("echo y | docker network rm ingress").expect("docker network rm ingress")
        wait(lambda: not has_ingress(first), "the network that init made to be gone", deadline=60)
        self.docker("network create --driver overlay --ingress --subnet 10.91.0.0/16 mesh-of-ours")
        for place, node in enumerate(self.nodes[1:], 1):
            role = "manager" if place < self.managers else "worker"
            token = self.docker(f"swarm join-token -q {role}")
            self.docker(f"swarm join --token {token} {first.address}:2377", node)
        Swarm(self.nodes, image=self.lab.image).wait_ready()

    @override
    def _admit(self, node: Node, key: str) -> None:
        home = f"/home/{USER}/.ssh"
        write = f"mkdir -p -m 700 {home}; echo '{key}' >> {home}/authorized_keys; chown -R {USER}: {home}"
        node.run(write).expect("the key")

    @override
    def _declared(self) -> dict[str, Any]:
        return {}

    @override
    def write_inventory(self, name: str = "inventory.yaml", **changes: Any) -> Path:
        return super().write_inventory(name, **{"user": USER, "sudo": True, **changes})
