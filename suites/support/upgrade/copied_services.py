"""Copies of a real swarm's services (see `swarmlab.rehearsal.likeness`) in the cluster of a rehearsal."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any

from swarmlab.cluster.service import Service, Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import DeadlineExceeded, EngineRefused
from swarmlab.labs.base import Lab
from swarmlab.parallel import parallel
from swarmlab.rehearsal.likeness import apply
from swarmlab.rehearsal.likeness.model import Likeness
from swarmlab.wait import State, wait

#: Seconds until all copied services must run. A service that does not run by then is left out, and reported.
PATIENCE = 120
#: Polls in a row, half a second or more apart, at which services must be whole.
STEADY = 8


class Copied:
    """The copies, made before the first step. What the lab cannot run is left out; the rest must be kept.

    Attributes:
        cluster: the rehearsed cluster.
        services: name of each service in the real swarm, by its copy.
        left_out: a sentence for each part that is not as in the real swarm: its name and the reason.
    """

    def __init__(self, cluster: Swarm, lab: Lab, likeness: Likeness) -> None:
        """Copy networks, configs, secrets and services, and wait until the services run.

        Args:
            cluster: the rehearsed cluster.
            lab: its lab.
            likeness: what is copied.
        """
        self.cluster = cluster
        self.services: dict[Service, str] = {}
        self.left_out: list[str] = []
        self._likeness = likeness.data
        #: Replicas of each service; None for a global one, until it runs.
        self._counts: dict[Service, int | None] = {}
        self._attached: dict[Service, set[str]] = {}
        #: Digests of the files that tasks read, by path.
        self._read: dict[Service, dict[str, str]] = {}
        ids = {name: id for id, name in cluster.names().items()}
        nodes = self._likeness["nodes"]
        self._names = apply.Names(
            likeness.hosts(), {original["id"]: ids[original["host"]] for original in nodes if original["host"] in ids}
        )
        for original in self._likeness["networks"]:
            self._network(original, encryption=not lab.offers.missing(["encryption"]))
        digests = {}
        for kind, size in (("configs", "bytes"), ("secrets", "")):
            for original in self._likeness[kind]:
                name, text = cluster.unique(apply.shorter(original["name"])), apply.dummy(original.get(size, 0))
                body = apply.payload(name, cluster.label, text)
                made = cluster.manager.ask("POST", f"/{kind}/create", body=body)["ID"]
                getattr(self._names, kind)[original["name"]] = (made, name)
                digests[kind, original["name"]] = hashlib.sha256(text.encode()).hexdigest()
        for original in self._likeness["services"]:
            self._service(original, digests)
        self._settle()

    def _network(self, original: Mapping[str, Any], *, encryption: bool) -> None:
        cluster = self.cluster
        name = cluster.unique(apply.shorter(original["name"]))
        # The bridges of every engine, and the network of the machines.
        taken = ["172.17.0.0/16", "172.18.0.0/16", f"{cluster.manager.address.rpartition('.')[0]}.0/24"]
        body = apply.network(original, name, cluster.label, encryption=encryption, taken=taken)
        if original["encrypted"] and not encryption:
            self.left_out.append(f"Encryption of network {original['name']}: the lab's kernel cannot.")
        subnets = [pool["subnet"] for pool in original["subnets"]]
        try:
            cluster.manager.ask("POST", "/networks/create", body=body)
        except EngineRefused as refused:
            body.pop("IPAM", None)
            self.left_out.append(f"Subnet {', '.join(subnets)} of network {original['name']}: {refused.explanation}.")
            cluster.manager.ask("POST", "/networks/create", body=body)
        else:
            if subnets and "IPAM" not in body:
                self.left_out.append(
                    f"Subnet {', '.join(subnets)} of network {original['name']}: the lab's machines have it."
                )
        self._names.networks[original["name"]] = name

    def _service(self, original: Mapping[str, Any], digests: Mapping[tuple[str, str], str]) -> None:
        cluster, names = self.cluster, self._names
        for mount in original["mounts"]:
            if mount.get("source"):
                names.volumes.setdefault(mount["source"], cluster.unique(apply.shorter(mount["source"])))
        name = cluster.unique(apply.shorter(original["name"]))
        body = apply.service(original, name, cluster.label, cluster.image("web:1"), names)
        try:
            made = cluster.manager.ask("POST", "/services/create", body=body)
        except EngineRefused as refused:
            self.left_out.append(f"Service {original['name']}: the lab's manager refused it: {refused.explanation}.")
            return
        service = Service(cluster, made["ID"], name)
        self.services[service] = original["name"]
        self._attached[service] = {names.networks[each["network"]] for each in original["networks"]}
        self._read[service] = {
            apply.target(kind, each["file"]): digests[f"{kind.lower()}s", each["name"]]
            for kind, listed in (("Config", original["configs"]), ("Secret", original["secrets"]))
            for each in listed
        }
        self._counts[service] = None if original["mode"] == "global" else original["replicas"]

    def _settle(self) -> None:
        """Wait until the services run, and remove those that do not."""
        states: dict[Service, State] = {}

        def settled() -> State:
            for service in self.services:
                states[service] = self._runs(service)
            return State(
                all(states.values()),
                "; ".join(f"{self.services[service]}: {states[service].summary}" for service in states),
            )

        with contextlib.suppress(DeadlineExceeded):
            wait(settled, "copied services to run", deadline=PATIENCE, stable=STEADY, every=0.5)
        for service, state in states.items():
            if not state:
                reason = f"Service {self.services.pop(service)}: it did not run in the lab"
                self.left_out.append(f"{reason}: {state.summary[:300]}.")
                service.remove()
            elif self._counts[service] is None:
                self._counts[service] = len(service.running())

    def _runs(self, service: Service) -> State:
        tasks = service.tasks()
        count = self._counts[service]
        if count is None:
            count = len([task for task in tasks if task.alive])
            if not count:
                return State(False, f"no node may run it; {'; '.join(map(str, tasks)) or 'no task'}")
        return service.converged(count, tasks=tasks)

    # Looking

    def wanted(self) -> list[tuple[Service, int]]:
        """Return the services, each with how many of its tasks ran before the first step."""
        return [(service, self._counts[service] or 0) for service in self.services]

    def detached(self) -> list[str]:
        """Return a line for each task that has no address in a network of its service."""
        return [
            f"{service}, whose task {task} has no address in {network}"
            for service in self.services
            for task in service.running()
            for network in sorted(self._attached[service] - set(task.addresses))
        ]

    def lost_data(self) -> list[str]:
        """Return a line for each file of a config or secret that a task does not read as it was given."""

        def of_task(pair: tuple[Service, Task]) -> list[str]:
            service, task = pair
            wanted = self._read[service]
            read = self.cluster.probe(task).run(f"sha256sum {' '.join(wanted)}")
            digests = {fields[1]: fields[0] for line in read.out.splitlines() if len(fields := line.split()) == 2}
            return [
                f"a task of {service} on {task.node} does not read {file} as it was given: {read.output[-100:]!r}"
                for file, digest in wanted.items()
                if digests.get(file) != digest
            ]

        pairs = [(service, task) for service in self.services if self._read[service] for task in service.running()]
        return [line for lines in parallel(of_task, pairs) for line in lines]

    def to_json(self) -> dict[str, Any]:
        """Return what is copied, by its names in the real swarm, and what is left out."""
        return {
            "services": {name: self._counts[service] for service, name in self.services.items()},
            "networks": list(self._names.networks),
            "configs": list(self._names.configs),
            "secrets": list(self._names.secrets),
            "left_out": list(self.left_out),
        }
