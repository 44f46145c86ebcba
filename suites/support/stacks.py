"""Stacks: compose files that the swarm itself deploys, by the command line, as the engine's API knows none."""

from dataclasses import dataclass

from suites.support.commands import in_sequence
from swarmlab.cluster.service import Service
from swarmlab.cluster.swarm import Swarm
from swarmlab.cluster.workbench import STACK_LABEL, Workbench
from swarmlab.paths import ROOT
from swarmlab.wait import State

#: The document's projects, as they lie in this one.
COMPOSE = ROOT / "compose"
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

    def __str__(self) -> str:
        return self.name

    def write(self, services: str) -> str:
        """Write a compose file of these services on the manager; gives its path."""
        text = f'version: "3.9"\n{services}{_NETWORK.format(label=self.cluster.label)}'
        return self.place({"stack.yml": text}, "stack.yml")

    def place(self, files: dict[str, str], file: str) -> str:
        """Write *files* (text by name) on the manager; gives the path of one of them."""
        return f"{self.bench.folder(files)}/{file}"

    def service(self, name: str) -> Service:
        """The service that the file calls *name*."""
        return self.cluster.service(f"{self.name}_{name}")

    def of(self, kind: str, **filters) -> list[dict]:
        """Its resources of a kind (services, networks, configs, secrets), as the manager's API tells them."""
        wanted = {"label": [f"{STACK_LABEL}={self.name}"], **filters}
        return self.cluster.manager.ask("GET", f"/{kind}", filters=wanted)

    def containers(self, node) -> list[dict]:
        """Its containers on *node*, running or not."""
        return node.containers(all=True, label=f"{STACK_LABEL}={self.name}")

    def volumes(self, node) -> list[dict]:
        """Its volumes on *node*, known by their name."""
        return [one for one in node.ask("GET", "/volumes")["Volumes"] or [] if one["Name"].startswith(f"{self.name}_")]

    def networks(self, node) -> list[dict]:
        """Its networks as far as *node* knows them, known by their name."""
        return [one for one in node.ask("GET", "/networks") if one["Name"].startswith(f"{self.name}_")]


def deploy(stack, path, *, before="", after=""):
    """What ``docker stack deploy`` gave on the manager."""
    return stack.cluster.manager.run(f"{before} docker stack deploy -c {path} {stack.name} {after}")


def deployed(stack, path, settings=""):
    """Deploy where that has to succeed; *settings* are variables of the file, as words before the command."""
    done = in_sequence(lambda: deploy(stack, path, before=settings))
    assert done.ok, f"docker stack deploy on {stack.cluster.manager} ended with {done.code}: {done.said}"


def removed(stack):
    """Whether ``docker stack rm`` has done its work on the manager; where it has not, it can be told again.

    A busy manager that has not ended the stack's tasks yet refuses its networks, and the command ends with that.
    """
    done = stack.cluster.manager.docker(f"stack rm {stack.name}")
    words = "; ".join(done.said.strip().splitlines())  # the refusal is not in the first line
    refused = f"docker stack rm on {stack.cluster.manager} ended with {done.code}: {words}"
    assert done.ok or "in use by task" in done.said, refused
    return State(done.ok, refused)


def listed(stack):
    """The stack's services, as the manager's API tells them."""
    return stack.of("services")


def services(stack):
    """Running tasks of wanted replicas ("1/1"), by the service's name in its file."""
    told = {}
    nodes = len(stack.cluster.nodes)
    for service in listed(stack):
        tasks = stack.cluster.manager.ask("GET", "/tasks", filters={"service": [service["ID"]]})
        running = [task for task in tasks if task["Status"]["State"] == task["DesiredState"] == "running"]
        name = service["Spec"]["Name"].removeprefix(f"{stack.name}_")
        mode = service["Spec"]["Mode"]
        told[name] = f"{len(running)}/{mode['Replicated']['Replicas'] if 'Replicated' in mode else nodes}"
    return told


def runs(stack, wanted):
    """Whether the stack has just the services *wanted* (replicas by name), each with all its tasks running."""
    seen = services(stack)
    done = seen == {name: f"{count}/{count}" for name, count in wanted.items()}
    if done:
        return State(True, f"it has {seen}")
    unfinished = [name for name in wanted if name in seen and seen[name] != f"{wanted[name]}/{wanted[name]}"]
    tasks = [f"{name}: {task}" for name in unfinished for task in stack.service(name).tasks()[:6]]
    return State(False, "; ".join([f"it has {seen}", *tasks]))


def remains(stack):
    """What there still is of a stack that was removed, a line a kind and node; its volumes are not looked for."""
    left = []
    for kind in ("services", "networks", "configs", "secrets"):
        names = [one.get("Name") or one["Spec"]["Name"] for one in stack.of(kind)]
        # What has lost its label still has its name.
        named = [one.get("Name") or one["Spec"]["Name"] for one in stack.cluster.manager.ask("GET", f"/{kind}")]
        names = sorted({*names, *(name for name in named if name.startswith(f"{stack.name}_"))})
        if names:
            left.append(f"{kind} {', '.join(names)}")
    for node in stack.cluster.nodes:
        if containers := stack.containers(node):
            names = ", ".join(one["Names"][0].strip("/") for one in containers)
            left.append(f"containers on {node}: {names}")
        if networks := stack.networks(node):
            left.append(f"networks on {node}: {', '.join(one['Name'] for one in networks)}")
    return left
