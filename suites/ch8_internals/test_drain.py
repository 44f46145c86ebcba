"""8.1.2: what a drained node does and does not."""

from fixtures.claims import claim
from suites.commands import accepted
from suites.traffic import HANDS_OVER, note_mesh, strangers
from swarmlab.events import History
from swarmlab.wait import eventually
from swarmlab.watch import Watch


@claim("8.1.2/drain-keeps-serving")
def test_the_service_answers_on_every_node_through_a_drain(cluster):
    port = cluster.port()
    web = cluster.create_service("web", "web:1", replicas=3, publish={port: 80}, **HANDS_OVER)
    tasks = web.wait_running(3)
    drained = cluster.node(next(task.node for task in tasks if task.node != cluster.manager.name))
    eventually(
        lambda: all(node.get(port).ok for node in cluster.nodes), f"every node to answer on port {port}", stable=3
    )
    history = History(web)
    with Watch(cluster.nodes, port) as watch:
        watch.rounds(2)
        watch.mark(f"{drained} is to be drained")
        accepted(cluster.manager, f"node update --availability drain {drained}")
        eventually(
            lambda: web.converged(3, lambda task: task.node != drained.name, history.look()),
            f"the tasks of {drained} to be moved",
            deadline=90,
        )
        watch.mark(f"the tasks of {drained} are moved")
        watch.enough()
    note_mesh(cluster)
    assert not watch.lost, f"while {drained} was drained, {watch.told}"
    assert not (others := strangers(watch, history)), f"others than the tasks of {web} answered: {others}; {watch.told}"
