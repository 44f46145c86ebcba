"""The copies of what a swarm that exists has (`swarmlab.rehearsal.likeness`), in the cluster of a rehearsal."""

import contextlib
import hashlib

from swarmlab.cluster.service import Service
from swarmlab.errors import DeadlineExceeded, EngineRefused
from swarmlab.parallel import parallel
from swarmlab.rehearsal import bodies
from swarmlab.wait import State, wait

#: Seconds for all copied services to run. One that does not is left out, and that is told.
PATIENCE = 120
#: Looks in a row, half a second or more apart, at which services are whole.
STEADY = 8


class Copied:
    """Made before the first step. What the lab cannot run is left out, by name and reason; the rest has to be kept.

    Attributes:
        services: what each service is called in the swarm, by its copy.
        left_out: what is not there as it is in the swarm, and why, in sentences.
    """

    def __init__(self, cluster, lab, likeness):
        self.cluster = cluster
        self.services = {}
        self.left_out = []
        self._likeness = likeness.told
        self._counts = {}
        self._attached = {}
        self._read = {}
        ids = {name: id for id, name in cluster.names().items()}
        nodes = self._likeness["nodes"]
        self._names = bodies.Names(
            likeness.hosts(), {one["id"]: ids[one["host"]] for one in nodes if one["host"] in ids}
        )
        for one in self._likeness["networks"]:
            self._network(one, encryption=not lab.offers.missing(["encryption"]))
        digests = {}
        for kind, size in (("configs", "bytes"), ("secrets", "")):
            for one in self._likeness[kind]:
                name, text = cluster.unique(bodies.shorter(one["name"])), bodies.dummy(one.get(size, 0))
                body = bodies.payload(name, cluster.label, text)
                made = cluster.manager.ask("POST", f"/{kind}/create", body=body)["ID"]
                getattr(self._names, kind)[one["name"]] = (made, name)
                digests[kind, one["name"]] = hashlib.sha256(text.encode()).hexdigest()
        for one in self._likeness["services"]:
            self._service(one, digests)
        self._settle()

    def _network(self, one, *, encryption):
        cluster = self.cluster
        name = cluster.unique(bodies.shorter(one["name"]))
        # The bridges of every engine, and the network of the machines.
        taken = ["172.17.0.0/16", "172.18.0.0/16", f"{cluster.manager.address.rpartition('.')[0]}.0/24"]
        body = bodies.network(one, name, cluster.label, encryption=encryption, taken=taken)
        if one["encrypted"] and not encryption:
            self.left_out.append(f"Encryption of network {one['name']}: the lab's kernel cannot.")
        subnets = [pool["subnet"] for pool in one["subnets"]]
        try:
            cluster.manager.ask("POST", "/networks/create", body=body)
        except EngineRefused as refused:
            body.pop("IPAM", None)
            self.left_out.append(f"Subnet {', '.join(subnets)} of network {one['name']}: {refused.explanation}.")
            cluster.manager.ask("POST", "/networks/create", body=body)
        else:
            if subnets and "IPAM" not in body:
                self.left_out.append(
                    f"Subnet {', '.join(subnets)} of network {one['name']}: the lab's machines have it."
                )
        self._names.networks[one["name"]] = name

    def _service(self, one, digests):
        cluster, names = self.cluster, self._names
        for mount in one["mounts"]:
            if mount.get("source"):
                names.volumes.setdefault(mount["source"], cluster.unique(bodies.shorter(mount["source"])))
        name = cluster.unique(bodies.shorter(one["name"]))
        body = bodies.service(one, name, cluster.label, cluster.image("web:1"), names)
        try:
            made = cluster.manager.ask("POST", "/services/create", body=body)
        except EngineRefused as refused:
            self.left_out.append(f"Service {one['name']}: the lab's manager refused it: {refused.explanation}.")
            return
        service = Service(cluster, made["ID"], name)
        self.services[service] = one["name"]
        self._attached[service] = {names.networks[each["network"]] for each in one["networks"]}
        self._read[service] = {
            bodies.target(kind, each["file"]): digests[f"{kind.lower()}s", each["name"]]
            for kind, listed in (("Config", one["configs"]), ("Secret", one["secrets"]))
            for each in listed
        }
        self._counts[service] = None if one["mode"] == "global" else one["replicas"]

    def _settle(self):
        """Wait until the services run, and remove those that do not."""
        seen = {}

        def settled():
            for service in self.services:
                seen[service] = self._runs(service)
            return State(all(seen.values()), "; ".join(f"{self.services[one]}: {seen[one].seen}" for one in seen))

        with contextlib.suppress(DeadlineExceeded):
            wait(settled, "copied services to run", deadline=PATIENCE, stable=STEADY, every=0.5)
        for service, state in seen.items():
            if not state:
                words = f"Service {self.services.pop(service)}: it did not run in the lab"
                self.left_out.append(f"{words}: {state.seen[:300]}.")
                service.remove()
            elif self._counts[service] is None:
                self._counts[service] = len(service.running())

    def _runs(self, service):
        tasks = service.tasks()
        count = self._counts[service]
        if count is None:
            count = len([task for task in tasks if task.alive])
            if not count:
                return State(False, f"no node may run it; {'; '.join(map(str, tasks)) or 'no task'}")
        return service.converged(count, tasks=tasks)

    # Looking

    def wanted(self):
        """The services, each with how many tasks of it ran before the first step."""
        return [(service, self._counts[service]) for service in self.services]

    def detached(self):
        """The tasks that have no address in a network of their service's, in words."""
        return [
            f"{service}, whose task {task} has no address in {network}"
            for service in self.services
            for task in service.running()
            for network in sorted(self._attached[service] - set(task.addresses))
        ]

    def lost_data(self):
        """What of the dummies of configs and secrets tasks do not read as they were given, in words."""

        def of_task(pair):
            service, task = pair
            wanted = self._read[service]
            read = self.cluster.probe(task).run(f"sha256sum {' '.join(wanted)}")
            told = {words[1]: words[0] for line in read.out.splitlines() if len(words := line.split()) == 2}
            return [
                f"a task of {service} on {task.node} does not read {file} as it was given: {read.said[-100:]!r}"
                for file, digest in wanted.items()
                if told.get(file) != digest
            ]

        pairs = [(service, task) for service in self.services if self._read[service] for task in service.running()]
        return [line for lines in parallel(of_task, pairs) for line in lines]

    def told(self):
        """What is copied, by its names in the swarm, and what is not, for the page."""
        return {
            "services": {name: self._counts[service] for service, name in self.services.items()},
            "networks": list(self._names.networks),
            "configs": list(self._names.configs),
            "secrets": list(self._names.secrets),
            "left_out": list(self.left_out),
        }
