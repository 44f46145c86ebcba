"""The settings of a swarm that exists which its owner may have chosen, and on which claims depend.

Each is found by looking. A swarm is not wrong to have others than the project's labs.
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from swarmlab.cluster import pki
from swarmlab.cluster.node import MANAGEMENT_PORT, Node, nodes_where
from swarmlab.errors import EngineRefused
from swarmlab.lists import few
from swarmlab.needs import FEATURES, TASK_HISTORY

#: What the option of the network bridge is where the engine's settings do not change it, by the option's last word.
#: An engine that does not list an option has the default.
_BRIDGE = {
    "name": ("docker0",),
    "enable_ip_masquerade": ("true",),
    "host_binding_ipv4": ("0.0.0.0", "::", ""),
    "enable_icc": ("true",),
}
_OPTION = "com.docker.network.bridge."
#: Security options of an engine under which a container may not use the node's files as root does.
_KEPT_APART = ("name=userns", "name=selinux", "name=rootless")
#: 90 days in nanoseconds, as the API has it.
_EXPIRY = 90 * 24 * 3600 * 10**9
#: Prints the addresses at which a port accepts or refuses a connection, of which twenty are tried at the same time.
_PROBE = (
    "export LC_ALL=C; tried=0; "
    'try() {{ said=$(timeout 5 bash -c "</dev/tcp/$1/{port}" 2>&1) && echo "$1" && return;'
    ' case $said in *refused*) echo "$1" ;; esac; }}; '
    'for address in {addresses}; do try "$address" & tried=$((tried + 1)); [ $((tried % 20)) != 0 ] || wait; done; wait'
)
_TOOLS = "docker-compose version >/dev/null 2>&1 || docker compose version"


def task_history(manager: Node) -> int:
    """Return how many tasks of a slot the managers keep."""
    kept = manager.ask("GET", "/swarm")["Spec"].get("Orchestration") or {}
    return int(kept.get("TaskHistoryRetentionLimit", TASK_HISTORY))


def look_for(nodes: Sequence[Node], manager: Node, port: int) -> dict[str, Callable[..., str]]:
    """Return a function for each feature of `swarmlab.needs.MADE` that is looked for, for `Offers.look`.

    Args:
        nodes: all nodes of the swarm; each must have the feature.
        manager: a manager.
        port: a port that the suite may publish.
    """

    def of_each(feature: str, has: Callable[[Node], bool]) -> str:
        lacking = nodes_where(lambda node: not has(node), nodes)
        return f"{FEATURES[feature]}: {few(lacking)}" if lacking else ""

    def of_swarm(feature: str, has: Callable[[], bool]) -> str:
        return "" if has() else FEATURES[feature]

    def default_expiry() -> bool:
        return bool(manager.ask("GET", "/swarm")["Spec"]["CAConfig"].get("NodeCertExpiry", _EXPIRY) == _EXPIRY)

    def swarm_ca() -> bool:
        return _own_authority(manager.ask("GET", "/swarm"))

    def default_ingress() -> bool:
        return any(network["Name"] == "ingress" for network in manager.ask("GET", "/networks") if network["Ingress"])

    def default_port() -> bool:
        managers = [member["ManagerStatus"] for member in manager.ask("GET", "/nodes") if member.get("ManagerStatus")]
        return all(status.get("Addr", "").endswith(f":{MANAGEMENT_PORT}") for status in managers)

    everywhere: dict[str, Callable[[Node], bool]] = {
        "compose-tool": lambda node: node.look(_TOOLS).ok,
        "curl": lambda node: node.look("command -v curl").ok,
        "node-ports": lambda node: _reaches(node, [other for other in nodes if other is not node], port),
        "default-bridge": lambda node: _bridge(node, "name", "enable_ip_masquerade", "host_binding_ipv4"),
        "icc": lambda node: _bridge(node, "enable_icc"),
        "host-files": lambda node: not _apart(node.info()),
    }
    once = {
        "default-expiry": default_expiry,
        "default-port": default_port,
        "swarm-ca": swarm_ca,
        "default-ingress": default_ingress,
    }
    looks = {feature: functools.partial(of_each, feature, has) for feature, has in everywhere.items()}
    looks |= {feature: functools.partial(of_swarm, feature, has) for feature, has in once.items()}
    return {feature: functools.cache(look) for feature, look in looks.items()}


def _bridge(node: Node, *words: str) -> bool:
    """Whether the options of the node's network bridge are the default ones."""
    try:
        options = node.ask("GET", "/networks/bridge").get("Options") or {}
    except EngineRefused as refused:
        if refused.status != 404:
            raise
        return False
    return all(options.get(_OPTION + word, _BRIDGE[word][0]) in _BRIDGE[word] for word in words)


def _reaches(node: Node, others: Sequence[Node], port: int) -> bool:
    """Whether a node reaches a port of all others on which nothing need listen: no firewall is between them."""
    wanted = [other.address for other in others]
    done = node.look(_PROBE.format(port=port, addresses=" ".join(map(shlex.quote, wanted))))
    return set(wanted) <= set(done.out.split())


def _apart(info: dict[str, Any]) -> bool:
    options = info.get("SecurityOptions") or []
    return any(option.startswith(_KEPT_APART) for option in options)


def _own_authority(swarm: dict[str, Any]) -> bool:
    """Whether a swarm's certificates are of the authority that init made, and not of one that its owner gave."""
    config = swarm["Spec"]["CAConfig"]
    given = config.get("ExternalCAs") or config.get("SigningCACert")
    roots = pki.parse((swarm.get("TLSInfo") or {}).get("TrustRoot", ""))
    return not given and all("swarm-ca" in root.subject.rfc4514_string() for root in roots)
