"""Names for tasks: entries of /etc/hosts, the DNS servers that they ask, and further names of a service."""

import re

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.names import resolve_to
from suites.support.placement import one_on_each
from suites.support.service_options import noted, on_every_node, seen, with_options
from suites.support.traffic import GOSSIP
from swarmlab.wait import State, eventually

#: Entries of the file of hosts that tasks begin with, and that an update brings in place of the first.
FIRST, KEPT, THEN = ("192.0.2.51", "first.swc.test"), ("192.0.2.52", "kept.swc.test"), ("192.0.2.53", "then.swc.test")
#: DNS servers, which the tasks are themselves, and domains, before and after an update.
SERVERS, DOMAINS = ("127.0.0.2", "127.0.0.3"), ("before.swc.test", "after.swc.test")
#: Names with fewer dots than that are asked for in the domain first. No answer comes.
OPTIONS = ("ndots:3", "timeout:1", "attempts:1")
#: Prints the addresses of the names in the file of hosts, what a task asks which server for, and its own settings.
LOOK = (
    "; ".join(
        f"echo {name.partition('.')[0]}=$(getent -s files hosts {name} | cut -d ' ' -f 1)"
        for _, name in (KEPT, FIRST, THEN)
    )
    + "; for server in "
    + " ".join(SERVERS)
    + '; do nc -u -l $server 53 > /tmp/$server 2> /dev/null & pids="$pids $!"; done;'
    " for server in " + " ".join(SERVERS) + "; do for wait in 1 2 3 4 5 6 7 8 9 10; do"
    " ss -Hlnu | grep -q $server:53 && break; sleep 0.1; done; done;"
    ' timeout 5 getent hosts one.two > /dev/null & pids="$pids $!";'
    " for wait in $(seq 50); do [ -s /tmp/" + SERVERS[0] + " ] || [ -s /tmp/" + SERVERS[1] + " ] && break;"
    " sleep 0.1; done; kill $pids 2> /dev/null; "
    + "; ".join(f"echo server_{place}=$(tr -c a-z ' ' < /tmp/{server})" for place, server in enumerate(SERVERS))
    + "; echo options=$(sed -n 's/^options//p' /etc/resolv.conf)"
)


def looked(cluster):
    """Return what tasks on every node see of names, before and after an update; they are made once for all tests."""
    before, after = cluster.keep("tasks with names", lambda: look(cluster))
    names = ("first", "kept", "then", "server_0", "server_1", "options")
    noted(before, *names)
    noted(after, *names)
    return before, after


def look(cluster):
    """Make a service on every node that has names and servers, look, update both, and look again."""
    container = {
        "Hosts": [" ".join(entry) for entry in (FIRST, KEPT)],
        "DNSConfig": {"Nameservers": [SERVERS[0]], "Search": [DOMAINS[0]], "Options": list(OPTIONS)},
    }
    network = cluster.create_network("named")
    service = with_options(cluster, "named", container, networks=[network], update={"Parallelism": 0})
    before = seen(cluster, service, LOOK)
    old = {task.id for task in service.running()}
    options = (
        f"--host-rm {FIRST[1]}:{FIRST[0]} --host-add {THEN[1]}:{THEN[0]} --dns-rm {SERVERS[0]} --dns-add {SERVERS[1]}"
        f" --dns-search-rm {DOMAINS[0]} --dns-search-add {DOMAINS[1]}"
    )
    accepted(cluster.manager, f"service update --detach {options} {service}")

    def renewed():
        state = one_on_each(service, cluster.nodes)
        left = [task.node for task in service.running() if task.id in old]
        return State(
            state.done and not left, f"not replaced on {left or 'none'}; {state.summary}", refused=state.refused
        )

    eventually(renewed, f"tasks of {service} to be replaced on every node by an update of their names", deadline=60)
    return before, seen(cluster, service, LOOK)


def has(entry):
    """Return name and address of an entry of the file of hosts, as `LOOK` prints them."""
    address, name = entry
    return name.partition(".")[0], address


@claim("names/extra-hosts")
def test_tasks_know_the_hosts_that_are_given(cluster):
    before, _ = looked(cluster)
    for node, found in before.items():
        for name, address in map(has, (FIRST, KEPT)):
            assert found[name] == address, f"in a task on {node} {name} is {found[name] or 'unknown'}, not {address}"


@claim("names/extra-hosts-updated")
def test_an_update_adds_and_removes_hosts(cluster):
    _, after = looked(cluster)
    for node, found in after.items():
        for name, address in (*map(has, (KEPT, THEN)), (has(FIRST)[0], "")):
            shown = found[name] or "unknown"
            assert found[name] == address, f"after the update {name} is {shown} on {node}, not {address or 'unknown'}"


def asked(found, place, domain):
    """Whether a task asked the server of this place for a name in a domain; the summary says what it was asked."""
    words = re.sub(" +", " ", found[f"server_{place}"])
    return State(f"one two {domain.replace('.', ' ')}" in words, f"{words.strip() or 'nothing'!r}")


@claim("names/dns")
def test_tasks_ask_the_servers_that_are_given_and_search_the_domain(cluster):
    before, _ = looked(cluster)
    for node, found in before.items():
        state = asked(found, 0, DOMAINS[0])
        assert state, (
            f"a task on {node} asks its server {SERVERS[0]} for {state.summary}, not for one.two in {DOMAINS[0]}"
        )
        lacking = set(OPTIONS) - set(found["options"].split())
        assert not lacking, f"a task on {node} resolves with the options {found['options']}, without {sorted(lacking)}"


@claim("names/dns-updated")
def test_an_update_changes_servers_and_domain(cluster):
    _, after = looked(cluster)
    for node, found in after.items():
        new, old = asked(found, 1, DOMAINS[1]), asked(found, 0, DOMAINS[1])
        assert new, f"after the update a task on {node} asks {SERVERS[1]} for {new.summary}, not in {DOMAINS[1]}"
        assert not old, f"after the update a task on {node} asks {SERVERS[0]}, which was removed, for {old.summary}"


@claim("names/alias")
def test_an_alias_leads_to_its_service_from_every_node(cluster, network):
    services, aliases = {}, {mode: cluster.unique(f"alias-{mode}") for mode in ("vip", "dnsrr")}
    for mode, alias in aliases.items():
        target = {"Target": network, "Aliases": [alias]}
        services[mode] = with_options(cluster, mode, {}, networks=[target], endpoint_mode=mode)
    tasks = {mode: on_every_node(cluster, service) for mode, service in services.items()}
    probes = [cluster.probe(task) for task in tasks["vip"]]
    wanted = {
        aliases["vip"]: {services["vip"].virtual_address(network)},
        aliases["dnsrr"]: {task.addresses[network] for task in tasks["dnsrr"]},
    }
    eventually(
        lambda: resolve_to(probes, wanted),
        "the alias of each service to lead to it from every node",
        deadline=GOSSIP,
        alike=True,
    )
