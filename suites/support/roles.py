"""The role of a node, manager or worker, by the node list, by its certificate, and by the API that it serves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from suites.support.commands import refusal
from suites.support.reasons import last_said
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import EngineRefused
from swarmlab.lists import few
from swarmlab.wait import State

_ROLE = re.compile(r"OU ?= ?swarm-(\w+)")


def certified(node: Node) -> str:
    """Return the role in the node's certificate."""
    subject = node.run(f"openssl x509 -noout -subject -in {node.data_root()}/swarm/certificates/swarm-node.crt")
    found = _ROLE.search(subject.out)
    return found[1] if found else f"unknown ({subject.output.strip()[-80:]})"


def acting(cluster: Swarm, wanted: Mapping[Node, str], asked: Iterable[Node]) -> State:
    """Whether the nodes of *wanted* (role by node) act in their role everywhere.

    That is: in the node lists of the managers *asked*, where managers are reachable, in the nodes' certificates, and by
    the API that managers serve and workers do not.
    """
    wrong = []
    for node, role in wanted.items():
        if (held := certified(node)) != role:
            wrong.append(f"{node}, a {role}, has a certificate of a {held}")
        explanation = refusal(node.ask, "GET", "/nodes")
        if role == "manager" and explanation:
            wrong.append(f"{node}, a manager, does not serve the API: {explanation}")
        # An engine that turns from manager to worker refuses for other reasons.
        if role == "worker" and "not a swarm manager" not in explanation:
            wrong.append(
                f"{node}, a worker, {f'refuses for another reason: {explanation}' if explanation else 'serves the API'}"
            )
    for manager in asked:
        try:
            members = cluster.members(manager)
        except EngineRefused:  # also between two leaders
            continue
        listed = {member["Description"].get("Hostname"): member for member in members}
        for node, role in wanted.items():
            member = listed.get(node.name, {"Spec": {"Role": "unknown"}})
            shown, reach = member["Spec"]["Role"], member.get("ManagerStatus", {}).get("Reachability", "")
            if (shown, reach) != (role, "reachable" if role == "manager" else ""):
                wrong.append(f"{manager} lists {node}, a {role}, as {shown}{reach and ', ' + reach}")
    return State(not wrong, few(wrong, "; ") or "as wanted")


def why_not_renewed(node: Node) -> str:
    """Return what the engine of a node says last of a certificate that it could not get; empty if nothing.

    Some managers offer newer nodes no HTTP/2 by name, by which these do not speak to them (see claims/defects.yaml).
    """
    return last_said(node, "failed to renew the certificate")


def writes(cluster: Swarm, asked: Node) -> State:
    """Whether the swarm takes a write through *asked*, and lists it afterwards."""
    body = {"Name": cluster.unique("written"), "Labels": {cluster.label: ""}, "Data": "eA=="}
    if explanation := refusal(asked.ask, "POST", "/configs/create", body=body):
        return State(False, f"{asked} refuses to write: {explanation}")
    try:
        names = [config["Spec"]["Name"] for config in asked.ask("GET", "/configs")]
    except EngineRefused as refused:  # the leader that took the write is lost by now
        return State(False, f"{asked} took a write, and does not list it: {refused}")
    return State(body["Name"] in names, f"{asked} took a write, and lists {names}")
