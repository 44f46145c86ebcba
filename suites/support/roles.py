"""What makes a node a manager or a worker: the node list, its certificate, the API that it serves."""

import re

from suites.support.commands import refusal
from swarmlab.wait import State

_ROLE = re.compile(r"OU ?= ?swarm-(\w+)")


def certified(node):
    """The role that the node's certificate gives it."""
    folder = node.info()["DockerRootDir"]
    subject = node.run(f"openssl x509 -noout -subject -in {folder}/swarm/certificates/swarm-node.crt")
    found = _ROLE.search(subject.out)
    return found[1] if found else f"unknown ({subject.said.strip()[-80:]})"


def acting(cluster, wanted, asked):
    """Whether the nodes of *wanted* (role by node) have their role everywhere.

    That is: in the node lists of *asked* (managers), where managers are reachable, in the nodes' certificates, and by
    the API that managers serve and workers do not.
    """
    wrong = []
    for node, role in wanted.items():
        if (held := certified(node)) != role:
            wrong.append(f"{node}, a {role}, has a certificate of a {held}")
        said = refusal(node.ask, "GET", "/nodes")
        if role == "manager" and said:
            wrong.append(f"{node}, a manager, does not serve the API: {said}")
        # On its way from manager to worker an engine gives other reasons.
        if role == "worker" and "not a swarm manager" not in said:
            wrong.append(f"{node}, a worker, {f'refuses for another reason: {said}' if said else 'serves the API'}")
    for manager in asked:
        if refusal(manager.ask, "GET", "/nodes"):
            continue
        listed = {member["Description"].get("Hostname"): member for member in cluster.members(manager)}
        for node, role in wanted.items():
            member = listed.get(node.name, {"Spec": {"Role": "unknown"}})
            seen, reach = member["Spec"]["Role"], member.get("ManagerStatus", {}).get("Reachability", "")
            if (seen, reach) != (role, "reachable" if role == "manager" else ""):
                wrong.append(f"{manager} lists {node}, a {role}, as {seen}{reach and ', ' + reach}")
    return State(not wrong, "; ".join(wrong) or "as wanted")


def writes(cluster, asked):
    """Whether the swarm takes a write through *asked*, and tells it again."""
    body = {"Name": cluster.unique("written"), "Labels": {cluster.label: ""}, "Data": "eA=="}
    if said := refusal(asked.ask, "POST", "/configs/create", body=body):
        return State(False, f"{asked} refuses to write: {said}")
    names = [config["Spec"]["Name"] for config in asked.ask("GET", "/configs")]
    return State(body["Name"] in names, f"{asked} took a write, and tells of {names}")
