"""7.2.5: rolling updates."""

from fixtures.claims import claim
from suites.commands import accepted
from suites.traffic import HANDS_OVER, note_mesh
from swarmlab.wait import eventually
from swarmlab.watch import Watch


@claim("7.2.5/no-request-lost")
def test_no_request_fails_during_a_rolling_update(cluster):
    port = cluster.port()
    web = cluster.create_service(
        "web",
        "web:1",
        replicas=3,
        publish={port: 80},
        update={"Parallelism": 1, "Order": "start-first"},
        **HANDS_OVER,
    )
    web.wait_running(3)
    eventually(
        lambda: all(node.get(port).ok for node in cluster.nodes), f"every node to answer on port {port}", stable=3
    )
    image = cluster.image("web:2")
    with Watch(cluster.nodes, port) as watch:
        watch.rounds(2)
        accepted(cluster.manager, f"service update --detach --image {image} {web.name}")
        eventually(
            lambda: web.converged(3, lambda task: task.image == image), f"every task to run {image}", deadline=120
        )
        watch.rounds(5)
    note_mesh(cluster)
    assert not watch.lost, f"while {web} was updated, {watch.told}"
