"""How the suites of this chapter ask, and what they say of the answers."""

from collections import Counter

from swarmlab.swarm import common
from swarmlab.wait import State


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
