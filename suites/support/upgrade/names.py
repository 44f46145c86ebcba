"""Where names lead, asked on every node."""

from swarmlab.parallel import parallel
from swarmlab.wait import State


def names_lead(estate, probes):
    """Whether the names of the estate's services lead, for every probe, to their tasks or virtual address."""
    network = estate.network
    wanted = {
        f"tasks.{service}": {task.addresses[network] for task in service.running()}
        for service in (estate.site, estate.web, estate.front)
    }
    wanted[estate.web.name] = wanted[f"tasks.{estate.web}"]
    wanted[estate.front.name] = {estate.front.virtual_address(network)}
    return leads(probes, wanted)


def leads(probes, wanted):
    """Whether each name of *wanted* leads to these addresses and no other, for every probe."""
    told = parallel(lambda probe: probe.resolve_each(list(wanted)), probes)
    wrong = [
        f"on {probe.node} {name} leads to {_list(got)}, and should to {_list(wanted[name])}"
        for probe, each in zip(probes, told, strict=True)
        for name, got in zip(wanted, each, strict=True)
        if got != wanted[name]
    ]
    return State(not wrong, "; ".join(wrong) or "all lead where they should")


def _list(addresses):
    return ", ".join(sorted(addresses)) or "nothing"
