"""Stacks: compose files that the swarm itself runs. Only the command line deploys them; the engine's API has none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suites.support.commands import in_sequence
from suites.support.reasons import last_said
from suites.support.subnets import wide_subnet
from swarmlab.cluster.marks import PREFIX, STACK_LABEL
from swarmlab.cluster.marks import removed as deleted
from swarmlab.cluster.node import Node, Result
from swarmlab.cluster.service import TASK_LABEL, Service
from swarmlab.cluster.swarm import Made, Swarm
from swarmlab.cluster.workbench import Workbench
from swarmlab.lists import few
from swarmlab.paths import ROOT
from swarmlab.wait import State

#: The folder of the document's compose projects.
COMPOSE = ROOT / "compose"
#: A variable of a compose file, with its default: ${NAME:-DEFAULT}.
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
#: What an engine logs of a task whose container it leaves for good.
_LEFT = "remove task failed"
#: The end of every file, so that the stack's network carries the suite's label.
_NETWORK = 'networks:\n  default:\n    labels: ["{label}"]\n'


@dataclass(frozen=True)
class Stack:
    """A stack of one test.

    Attributes:
        cluster: the swarm that it is deployed in.
        bench: the workbench of the manager.
        name: its name.
    """

    cluster: Swarm
    bench: Workbench
    name: str

    def __str__(self) -> str:
        """Its name."""
        return self.name

    def write(self, services: str) -> str:
        """Write a compose file of *services* (YAML) on the manager.

        Returns:
            The file's path.
        """
        text = f'version: "3"\n{services}{_NETWORK.format(label=self.cluster.label)}'
        return self.place({"stack.yml": with_room(self, text)}, "stack.yml")

    def place(self, files: Mapping[str, str], file: str) -> str:
        """Write *files* (text by name) into a folder of the manager.

        Returns:
            The path of the one called *file*.
        """
        return f"{self.bench.folder(files)}/{file}"

    def service(self, name: str) -> Service:
        """Return the service that the file calls *name*."""
        return self.cluster.service(f"{self.name}_{name}")

    def of(self, kind: str, **filters: Any) -> list[dict[str, Any]]:
        """Its resources of a kind (services, networks, configs, secrets), as the manager's API lists them."""
        wanted = {"label": [f"{STACK_LABEL}={self.name}"], **filters}
        resources: list[dict[str, Any]] = self.cluster.manager.ask("GET", f"/{kind}", filters=wanted)
        return resources

    def containers(self, node: Node) -> list[dict[str, Any]]:
        """Its containers on *node*, running or not."""
        return node.containers(all=True, label=f"{STACK_LABEL}={self.name}")

    def volumes(self, node: Node) -> list[dict[str, Any]]:
        """Its volumes on *node*, found by name."""
        return [
            volume
            for volume in node.ask("GET", "/volumes")["Volumes"] or []
            if volume["Name"].startswith(f"{self.name}_")
        ]

    def networks(self, node: Node) -> list[dict[str, Any]]:
        """Its networks that *node* knows, found by name."""
        return [network for network in node.ask("GET", "/networks") if network["Name"].startswith(f"{self.name}_")]


def deploy(stack: Stack, path: str, *, before: str = "", after: str = "") -> Result:
    """Run ``docker stack deploy`` on the manager, with shell text *before* and *after* the command.

    It runs in the folder of the file, as the document has it: command lines before 17.12 look for the files of configs
    and secrets in the present folder.
    """
    command = f"{before} docker stack deploy -c {path} {stack.name} {after}"
    return stack.cluster.manager.run(f"cd $(dirname {path}) && {command}")


def filled(text: str, **values: object) -> str:
    """Return the text of a compose file with its variables replaced, by *values* or by their defaults.

    Command lines before 17.12 take a variable for text, also where a number is wanted.

    Example:
        filled("published: ${PORT:-8000}", PORT=8888)
    """
    return _VARIABLE.sub(lambda found: str(values.get(found[1], found[2])), text)


def with_room(stack: Stack, text: str) -> str:
    """Return the text of a compose file with addresses for containers on every node in its last network.

    Args:
        stack: the stack that it is for; files of one stack have one subnet.
        text: the text, which ends with the network.
    """
    cluster = stack.cluster
    wide = cluster.keep(f"subnet of {stack}", lambda: wide_subnet(cluster))
    return f"{text}    ipam:\n      config:\n        - subnet: {wide}\n" if wide else text


def deploy_project(stack: Stack, name: str, file: str, **values: object) -> None:
    """Deploy a file of the project compose/NAME, with its page app.py beside it; it must succeed.

    Args:
        stack: the stack.
        name: the project.
        file: the compose file.
        values: values of its variables (see `filled`).

    Raises:
        AssertionError: the command failed.
    """
    files = {part: (COMPOSE / name / part).read_text(encoding="utf-8") for part in (file, "app.py")}
    deployed(stack, stack.place({**files, file: with_room(stack, filled(files[file], **values))}, file))


def deployed(stack: Stack, path: str) -> None:
    """Deploy the file at *path* of the manager, which must succeed.

    Raises:
        AssertionError: the command failed.
    """
    done = in_sequence(lambda: deploy(stack, path))
    done.expect(f"docker stack deploy on {stack.cluster.manager}", error=AssertionError)


def removed(stack: Stack) -> State:
    """Run ``docker stack rm`` once; whether it removed everything.

    A busy manager that has not ended the stack's tasks yet refuses to remove their networks, and the command fails. It
    succeeds when it is run again later.

    Raises:
        AssertionError: it failed for another reason.
    """
    done = stack.cluster.manager.docker(f"stack rm {stack.name}")
    output = "; ".join(done.output.strip().splitlines())  # the refusal is not in the first line
    refused = f"docker stack rm on {stack.cluster.manager} ended with {done.code}: {output}"
    assert done.ok or "in use by task" in done.output, refused
    return State(done.ok, refused)


def dissolve(stack: Stack) -> None:
    """Remove everything of the stack but its volumes, its networks last.

    ``docker stack rm`` removes networks while tasks still end, and managers log errors about that.
    """
    for kind in ("services", "configs", "secrets", "networks"):
        stack.cluster.remove(
            Made(kind, resource.get("ID") or resource["Id"], resource.get("Name") or resource["Spec"]["Name"])
            for resource in stack.of(kind)
        )


def listed(stack: Stack) -> list[dict[str, Any]]:
    """Return the stack's services, as the manager's API lists them."""
    return stack.of("services")


def service_names(node: Node) -> set[str]:
    """Return the names of a swarm's services that begin as the suite's do: others may make theirs meanwhile."""
    return {name for one in node.ask("GET", "/services") if (name := one["Spec"]["Name"]).startswith(PREFIX)}


def services(stack: Stack) -> dict[str, str]:
    """Return running tasks of wanted replicas ("1/1"), by the service's name in its file."""
    replicas = {}
    nodes = len(stack.cluster.nodes)
    for service in listed(stack):
        tasks = stack.cluster.manager.ask("GET", "/tasks", filters={"service": [service["ID"]]})
        running = [task for task in tasks if task["Status"]["State"] == task["DesiredState"] == "running"]
        name = service["Spec"]["Name"].removeprefix(f"{stack.name}_")
        mode = service["Spec"]["Mode"]
        replicas[name] = f"{len(running)}/{mode['Replicated']['Replicas'] if 'Replicated' in mode else nodes}"
    return replicas


def runs(stack: Stack, wanted: Mapping[str, int]) -> State:
    """Whether the stack has the services *wanted* (replicas by name) and no other, with all their tasks running."""
    replicas = services(stack)
    done = replicas == {name: f"{count}/{count}" for name, count in wanted.items()}
    if done:
        return State(True, f"it has {replicas}")
    unfinished = [name for name in wanted if name in replicas and replicas[name] != f"{wanted[name]}/{wanted[name]}"]
    tasks = [f"{name}: {task}" for name in unfinished for task in stack.service(name).tasks()[:6]]
    return State(False, "; ".join([f"it has {replicas}", *tasks]))


def remains(stack: Stack) -> list[str]:
    """Return a line for each kind and node of what is left of a removed stack, its volumes aside."""
    left = []
    for kind in ("services", "networks", "configs", "secrets"):
        names = [resource.get("Name") or resource["Spec"]["Name"] for resource in stack.of(kind)]
        # A resource that lost its label still has its name.
        named = [
            resource.get("Name") or resource["Spec"]["Name"]
            for resource in stack.cluster.manager.ask("GET", f"/{kind}")
        ]
        names = sorted({*names, *(name for name in named if name.startswith(f"{stack.name}_"))})
        if names:
            left.append(f"{kind} {', '.join(names)}")
    for node in stack.cluster.nodes:
        if containers := stack.containers(node):
            left.append(
                f"containers on {node}: {', '.join(resource['Names'][0].strip('/') for resource in containers)}"
            )
        if networks := stack.networks(node):
            left.append(f"networks on {node}: {', '.join(resource['Name'] for resource in networks)}")
    return left


def nothing_of(stack: Stack) -> State:
    """Whether only the volumes of a removed stack are left; hopeless where an engine leaves containers for good."""
    left = remains(stack)
    return State(not left, _still(left), hopeless=bool(left) and _given_up(stack))


def _still(left: Sequence[str]) -> str:
    return f"there are still {few(left, '; ')}"


def _given_up(stack: Stack) -> bool:
    """Whether an engine has said of a task with an ended container that it could not remove it (see `why_left`)."""
    for node in stack.cluster.nodes:
        ended = [container for container in stack.containers(node) if container["State"] != "running"]
        tasks = [str(container["Labels"].get(TASK_LABEL)) for container in ended]
        if tasks and any(_LEFT in line and any(task in line for task in tasks) for line in node.log().splitlines()):
            return True
    return False


def swept(stack: Stack) -> State:
    """Remove the containers of a removed stack that have ended; return whether nothing of it is left.

    Some engines leave them for good (see `why_left`).
    """
    for node in stack.cluster.nodes:
        for container in stack.containers(node):
            if container["State"] != "running":
                deleted(node, f"/containers/{container['Id']}", force=True, v=True)
    left = remains(stack)
    return State(not left, _still(left))


def why_left(stack: Stack) -> str:
    """Return what the engines with containers of a removed stack say of tasks that they could not remove.

    Source: moby/swarmkit#2273, by which two tasks of one network that are removed at once leave their containers.
    """
    left = [node for node in stack.cluster.nodes if stack.containers(node)]
    return "; ".join(filter(None, (last_said(node, _LEFT) for node in left)))
