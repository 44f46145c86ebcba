"""8.2.1: requests to a service of several replicas."""

from fixtures.claims import claim
from suites.support.traffic import GOSSIP, asked_in_turn, from_each, note_mesh, spread
from swarmlab.lists import few
from swarmlab.wait import State, eventually

REQUESTS = 30


@claim("8.2.1/three-http-listeners")
def test_each_of_three_http_replicas_answers_its_part(cluster):
    port = cluster.port()
    web = cluster.create_service("web", "web:1", replicas=3, publish={port: 80})
    tasks = web.wait_running(3)
    note_mesh(cluster)
    eventually(
        lambda: from_each(cluster.sample, lambda node: shared(tasks, asked_in_turn(node, port, REQUESTS))),
        "requests to every node to be shared by the three replicas",
        deadline=GOSSIP,
        stable=2,
        alike=True,
    )


def shared(tasks, answers):
    """Whether every task gave between half and one and a half times its even share of the answers."""
    replicas = {task.container[:12]: f"{task.container[:12]} on {task.node}" for task in tasks}
    gave = spread(answers)
    even = len(answers) / len(replicas)
    fair = set(gave) == set(replicas) and all(even / 2 <= count <= even * 1.5 for count in gave.values())
    told = {replicas.get(sender, sender): count for sender, count in gave.items()}
    return State(fair, f"of the replicas {few(replicas.values())} answered {told}")
