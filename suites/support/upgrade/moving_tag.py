"""A tag of the lab's registry that is given other content while services run with it."""

from __future__ import annotations

from suites.support.commands import accepted
from swarmlab.cluster.service import Service
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked
from swarmlab.wait import State


class MovingTag:
    """A tag that `move` gives the content of one of the lab's images.

    Attributes:
        name: the reference by which services have it.
    """

    def __init__(self, cluster: Swarm) -> None:
        """Choose a name that the registry does not have yet.

        Args:
            cluster: the swarm; its manager pushes.
        """
        self._cluster = cluster
        self._manager = cluster.manager
        repository = cluster.image("web:1").rpartition(":")[0]
        self.name = f"{repository}:{cluster.unique('tag')}"

    def move(self, image: str) -> None:
        """Give the tag the content of *image*.

        Raises:
            Blocked: the registry does not take it.
        """
        source = self._cluster.image(image)
        accepted(self._manager, f"pull {source}")
        accepted(self._manager, f"tag {source} {self.name}")
        pushed = self._manager.docker(f"push {self.name}")
        self._manager.docker(f"image rm {self.name}")
        if not pushed.ok:
            raise Blocked(f"the lab's registry takes no image: {pushed.output[-200:]}")

    def create(self, service: str) -> Service:
        """Create a global service with the tag by the command line, which asks the registry for its digest."""
        name, cluster = self._cluster.unique(service), self._cluster
        label = f"--label {cluster.label}"
        # --detach is said with a value, as the first engines had another default.
        accepted(self._manager, f"service create --detach=true --mode global {label} --name {name} {self.name}")
        [made] = self._manager.ask("GET", "/services", filters={"name": [name]})
        return Service(cluster, made["ID"], name)


def contents(cluster: Swarm, service: Service) -> dict[str, str]:
    """Return what the tasks of *service* say that they are, by host name: the release that the image web has set."""
    return {task.node: cluster.probe(task).run("echo $RELEASE").out.strip() for task in service.running()}


def all_run(cluster: Swarm, service: Service, release: str) -> State:
    """Whether a task on every node runs this release of the image web, and no other runs."""
    state = service.converged(len(cluster.nodes))
    if not state:
        return state
    found = contents(cluster, service)
    wrong = [f"{node} runs release {given or 'unknown'}" for node, given in found.items() if given != release]
    return State(not wrong, f"{'; '.join(wrong)}, wanted release {release} of {service}")
