"""6.2: docker run and docker-compose start containers on one node, outside the swarm."""

from fixtures.claims import claim
from suites.support.commands import accepted, succeeded
from suites.support.compose_projects import Project, tools
from suites.support.stacks import service_names
from swarmlab.cluster.marks import unique

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
def test_what_run_and_compose_start_is_on_one_node_alone(cluster, node, bench, lab):
    before = service_names(cluster.manager)
    image = cluster.image("client")
    text = FILE.format(image=image, label=bench.label)
    name = unique("box")
    accepted(node, f"run -d --name {name} --label {bench.label} {image}")
    is_here_alone(cluster, node, "docker run", name)
    for tool in tools(node, lab.declared(node.name).compose):
        project = Project(node, tool, unique("box"), bench.folder({"docker-compose.yml": text}), 0, "")
        succeeded(project.compose("up -d"), f"{tool} up on {node}")
        is_here_alone(cluster, node, tool, project.name)
    made = service_names(cluster.manager) - before
    assert not made, f"docker run or docker-compose on {node} made the services {sorted(made)}"


def is_here_alone(cluster, node, tool, name):
    """Judge that one container with *name* in its name runs on *node*, none elsewhere, and that no task has it.

    Args:
        cluster: the swarm.
        node: the node.
        tool: the command that started the container, for messages.
        name: the name.
    """
    here = named(node, name)
    assert len(here) == 1, f"{tool} on {node} must start one container there; there are {len(here)}"
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
    """Return the id of a task's container."""
    return (task["Status"].get("ContainerStatus") or {}).get("ContainerID", "")


def named(node, name):
    """Return the containers on a node whose names contain *name*: a task's container has the name PREFIX-NAME.1.ID."""
    return [container for container in node.containers(all=True) if any(name in known for known in container["Names"])]
