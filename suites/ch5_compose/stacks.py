"""Stacks: compose files that the swarm itself deploys, by the command line, as the engine's API knows none."""

from dataclasses import dataclass

from swarmlab.swarm import Swarm
from swarmlab.workbench import Workbench

#: What every file ends with, so that what the stack makes carries the suite's label.
_NETWORK = 'networks:\n  default:\n    labels: ["{label}"]\n'


@dataclass(frozen=True)
class Stack:
    """A stack of a test's own.

    Attributes:
        cluster: where it is deployed.
        bench: what the test makes on the manager.
        name: its name.
    """

    cluster: Swarm
    bench: Workbench
    name: str

    def write(self, services: str) -> str:
        """Write a compose file of these services on the manager; gives its path."""
        text = f'version: "3.9"\n{services}{_NETWORK.format(label=self.cluster.label)}'
        folder = self.bench.folder({"stack.yml": text})
        return f"{folder}/stack.yml"


def deploy(stack, path, *, before="", after=""):
    """What ``docker stack deploy`` gave on the manager."""
    return stack.cluster.manager.run(f"{before} docker stack deploy -c {path} {stack.name} {after}")


def listed(stack):
    """The stack's services, as the manager's API tells them."""
    wanted = {"label": [f"com.docker.stack.namespace={stack.name}"]}
    return stack.cluster.manager.ask("GET", "/services", filters=wanted)


def services(stack):
    """Running tasks of wanted replicas ("1/1"), by the service's name in its file."""
    told = {}
    for service in listed(stack):
        tasks = stack.cluster.manager.ask("GET", "/tasks", filters={"service": [service["ID"]]})
        running = [task for task in tasks if task["Status"]["State"] == task["DesiredState"] == "running"]
        name = service["Spec"]["Name"].removeprefix(f"{stack.name}_")
        told[name] = f"{len(running)}/{service['Spec']['Mode']['Replicated']['Replicas']}"
    return told
