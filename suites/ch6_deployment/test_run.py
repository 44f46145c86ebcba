"""6.2: what docker run and docker-compose start is on one node, and not the swarm's."""

from fixtures.claims import claim
from suites.support.commands import last
from suites.support.project import Project, tools
from swarmlab.cluster.workbench import unique

FILE = """version: "3"
services:
  box:
    image: {image}
    labels: ["{label}"]
networks:
  default:
    labels: ["{label}"]
"""


@claim("6.2/run-is-not-swarm")
def test_what_run_and_compose_start_is_on_one_node_alone(cluster, node, bench):
    before = services(cluster)
    image = cluster.image("client")
    text = FILE.format(image=image, label=bench.label)
    name = unique("box")
    done = node.docker(f"run -d --name {name} --label {bench.label} {image}")
    assert done.ok, f"docker run on {node} ended with {done.code}: {last(done)}"
    is_here_alone(cluster, node, "docker run", name)
    for tool in tools(node):
        project = Project(node, tool, unique("box"), bench.folder({"docker-compose.yml": text}), 0, "")
        done = project.compose("up -d")
        assert done.ok, f"{tool} up on {node} ended with {done.code}: {last(done)}"
        is_here_alone(cluster, node, tool, project.name)
    made = services(cluster) - before
    assert not made, f"docker run or docker-compose on {node} made the services {sorted(made)}"


def is_here_alone(cluster, node, tool, name):
    """One container of this name (or one that begins with it) runs on *node*, none elsewhere, and no task is it."""
    here = named(node, name)
    assert len(here) == 1, f"{tool} on {node} was to start one container there, and there are {len(here)} of it"
    (container,) = here
    assert container["State"] == "running", f"what {tool} started on {node} is {container['State']}"
    for other in cluster.nodes:
        if other is not node:
            assert not named(other, name), f"{tool} on {node} started a container on {other} too"
    marks = sorted(mark for mark in container["Labels"] if mark.startswith("com.docker.swarm."))
    assert not marks, f"what {tool} started on {node} is marked as the swarm's: {', '.join(marks)}"
    tasks = cluster.manager.ask("GET", "/tasks")
    held = [task["ID"] for task in tasks if held_by(task) == container["Id"]]
    assert not held, f"what {tool} started on {node} is the container of the task {', '.join(held)}"


def held_by(task):
    return (task["Status"].get("ContainerStatus") or {}).get("ContainerID", "")


def named(node, name):
    # A name may stand within another, as a task's does: PREFIX-NAME.1.ID.
    return [one for one in node.containers(all=True) if any(name in known for known in one["Names"])]


def services(cluster):
    return {one["Spec"]["Name"] for one in cluster.manager.ask("GET", "/services")}
