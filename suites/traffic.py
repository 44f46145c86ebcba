"""How the suites ask, of which servers, and what they say of the answers."""

from collections import Counter

from swarmlab.swarm import common
from swarmlab.wait import State

#: Settings of a service of the image web (see `swarmlab.service.specification`). Requests are sent to a container from
#: when it is healthy until the other nodes learn that it is being stopped, which is when it is told to end.
HANDS_OVER = {
    "health": ["curl", "-fsS", "http://localhost/healthz"],
    "environment": {"LINGER": "5"},
    "stop_grace": 60,
}


def note_mesh(cluster):
    """Have the evidence show how the mesh of every node shares connections out."""
    for node in cluster.nodes:
        node.ipvs()


def spread(answers):
    """How many of *answers* each container gave; what was no success is counted under its own words."""
    return Counter(answer.container if answer.status == 200 else str(answer) for answer in answers)


def all_answer(replicas, answers):
    """Whether *answers* come from all *replicas* and from nothing else, and none is missing."""
    answered = spread(answers)
    return State(set(answered) == replicas, f"of the replicas {sorted(replicas)} answered {dict(answered)}")


def without_loss(lost, nodes):
    """Whether no pair of nodes lost anything; *lost* tells by pair (from, to) what became of a request."""
    blame = " and ".join(common(lost, nodes))
    return State(not lost, f"no way between nodes, with {blame}: {'; '.join(lost.values())}" if lost else "all passed")


def strangers(watch, history):
    """Who answered a watch and is no container of a task that was seen, by host name; empty if nobody."""
    known = {task.container[:12] for tasks in history.looks for task in tasks}
    return {name or "a server without name": count for name, count in watch.shares.items() if name not in known}
