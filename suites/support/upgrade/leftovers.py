"""What engines say of an interface that is left of an overlay network, and nodes that have one id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

#: How engines say that the interface of an overlay network is there already.
LEFT = ("vxlan interface: file exists", "error creating vxlan interface")


def refused_for_vxlan(
    tasks: Iterable[Mapping[str, object]], logs: Mapping[str, str], nodes: Mapping[str, str]
) -> list[str]:
    """Return a line for each node that refused a task, or logged that it did, as an interface was left on it.

    Args:
        tasks: tasks as a manager lists them.
        logs: what the engines logged by host name.
        nodes: host names by node id.
    """
    said: dict[str, str] = {}
    for task in tasks:
        status = task.get("Status")
        message = str(status.get("Err", "")) if isinstance(status, Mapping) else ""
        if any(words in message for words in LEFT):
            said.setdefault(nodes.get(str(task.get("NodeID", "")), "a node that is gone"), message)
    for name, log in logs.items():
        for line in log.splitlines():
            if any(words in line for words in LEFT):
                said.setdefault(name, line)
    return [f"{name}: {message[-200:]}" for name, message in said.items()]


def not_each_once(own: Mapping[str, str], listed: Iterable[tuple[str, str]]) -> list[str]:
    """Return a line for each id that several nodes have, and each node that managers do not list once by its own id.

    Args:
        own: the id that each node has by its own account, by host name.
        listed: id and host name of each node, as a manager lists them.
    """
    pairs, wrong = list(listed), []
    for id in sorted(set(own.values())):
        if len(having := [name for name, other in own.items() if other == id]) > 1:
            wrong.append(f"{' and '.join(having)} have one id, {id}")
    for name, id in own.items():
        if (count := pairs.count((id, name))) != 1:
            wrong.append(f"{name} has the id {id}, and is listed with it {count} times")
    return wrong
