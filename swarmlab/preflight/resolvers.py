"""Checks of how nodes resolve names of the world outside, and of what their tasks make of it.

An engine copies its node's /etc/resolv.conf for its containers. Tasks on networks ask the engine itself (127.0.0.11),
which asks the node's name servers for what it does not know. Containers on the default bridge, and builds, get the
node's name servers, or 8.8.8.8 where the node has none but local ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from swarmlab.lists import few
from swarmlab.preflight import options
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_node

#: The server of a node that is a container itself: the engine outside answers there.
_OUTER = "127.0.0.11"
#: The local server of systemd-resolved. Engines from 19.03 on read its own file where it is the only one.
_RESOLVED, _RESOLVED_READ = "127.0.0.53", (19, 3)
#: The first engine that reads a malformed ndots as no ndots, that keeps a good one for its tasks, and that asks name
#: servers by IPv6 for tasks.
_NDOTS_READ, _NDOTS_KEPT, _IPV6_ASKED = (26,), (20, 10), (26,)
#: How many name servers programs and engines ask; how many search domains, and characters of them, old programs take.
_SERVERS, _DOMAINS, _LETTERS = 3, 6, 256
_EDIT = "edit /etc/resolv.conf, or what writes it (systemd-resolved, NetworkManager, resolvconf, the DHCP server)"
_NEW = "then start the tasks of the node again: docker service update --force SERVICE"


@dataclass(frozen=True)
class Settings:
    """What a resolv.conf says.

    Attributes:
        servers: addresses of its name servers, in order.
        wrong: words in the place of an address that are none.
        domains: the search domains.
        options: the options, by line.
    """

    servers: tuple[IPv4Address | IPv6Address, ...]
    wrong: tuple[str, ...]
    domains: tuple[str, ...]
    options: tuple[tuple[str, ...], ...]


def parse(text: str) -> Settings:
    """Return what the text of a resolv.conf says."""
    servers: list[IPv4Address | IPv6Address] = []
    wrong, domains, options = [], [], []
    for line in text.splitlines():
        word, *fields = line.split() or [""]
        if word == "nameserver":
            try:
                servers.append(ip_address((fields or [""])[0].partition("%")[0]))
            except ValueError:
                wrong.append((fields or ["nothing"])[0])
        elif word in ("search", "domain"):
            domains = fields  # the last line counts
        elif word == "options":
            options.append(tuple(fields))
    return Settings(tuple(dict.fromkeys(servers)), tuple(wrong), tuple(domains), tuple(options))


def servers(text: str) -> list[IPv4Address]:
    """Return the IPv4 addresses of the name servers in the text of a resolv.conf."""
    return [server for server in parse(text).servers if isinstance(server, IPv4Address)]


@by_node
def of_node(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the node's resolv.conf is one with which its tasks resolve names."""
    text = view.read("resolvers")
    host = parse(text)
    used = parse(text + "\n" + view.read("resolved")) if _reads_resolved(view, host) else host
    yield from _options(view, used)
    for word in used.wrong:
        summary = f"resolv.conf has the name server {word}, which is no IP address"
        yield Finding(Level.WARNING, summary, "nothing asks it", mend=_EDIT)
    if len(used.servers) > _SERVERS:
        summary = f"resolv.conf has {len(used.servers)} name servers"
        yield Finding(Level.INFO, summary, f"only the first {_SERVERS} are asked", mend=_EDIT)
    letters = len(" ".join(used.domains))
    if len(used.domains) > _DOMAINS or letters > _LETTERS:
        yield Finding(
            Level.INFO,
            f"resolv.conf has {len(used.domains)} search domains with {letters} characters",
            f"programs with a C library before 2.26 take {_DOMAINS} of them, and {_LETTERS} characters",
            mend=_EDIT,
        )
    if _own_servers(view):
        return
    yield from _lacking(view, used)
    yield from _silent(view, used)


def _options(view: NodeView, settings: Settings) -> Iterator[Finding]:
    old = not view.release or view.release < _NDOTS_READ
    # Engines that stumble over it take the last line of options alone.
    for option in [option for line in settings.options[-1 if old else 0 :] for option in line]:
        name, colon, number = option.partition(":")
        if "ndots" in name and not (colon and number.isdigit()):
            risk = "the engine does not start the DNS of its tasks: on this node they resolve no name of a service"
            later = "engines before 26.0 do not start the DNS of their tasks with it; this one ignores it"
            yield Finding(
                Level.ERROR if old else Level.INFO,
                f"resolv.conf has the malformed option {option!r}",
                risk if old else later,
                "docker/for-linux#444",
                mend=f"write it as one word, ndots:NUMBER, without a blank: {_EDIT}; {_NEW}",
            )
        elif name == "ndots" and int(number) and settings.domains and view.release >= _NDOTS_KEPT:
            yield Finding(
                Level.INFO,
                f"resolv.conf has the option {option}, and search domains",
                "tasks look up the name of a service with a search domain first, so that a machine of the site with "
                "the same name is taken for it",
                "moby#41819",
                mend=f"take the option out: {_EDIT}; or name services with their stack, or as tasks.SERVICE; {_NEW}",
            )


def _lacking(view: NodeView, settings: Settings) -> Iterator[Finding]:
    mend = f'{_EDIT}; or name servers for the engine ("dns" in daemon.json), and restart it; {_NEW}'
    if not settings.servers:
        summary = "resolv.conf has no name server"
        risk = "its containers ask 8.8.8.8 instead, or nobody: names of the site do not resolve in its tasks"
        yield Finding(Level.WARNING, summary, risk, mend=mend)
    elif all(server.is_loopback for server in settings.servers) and str(settings.servers[0]) != _OUTER:
        listed = ", ".join(map(str, settings.servers))
        summary = f"resolv.conf has local name servers only ({listed})"
        risk = "containers cannot reach them: on the default bridge, and in builds, they ask 8.8.8.8, so names of the "
        yield Finding(Level.WARNING, summary, f"{risk}site do not resolve there", mend=mend)
    elif all(isinstance(server, IPv6Address) for server in settings.servers) and view.release < _IPV6_ASKED:
        listed = ", ".join(map(str, settings.servers))
        summary = f"resolv.conf has name servers by IPv6 only ({listed})"
        risk = "engines before 26.0 do not ask them for their tasks, and tasks without IPv6 do not reach them"
        yield Finding(Level.WARNING, summary, risk, mend=mend)


def _silent(view: NodeView, settings: Settings) -> Iterator[Finding]:
    """Yield a finding if name servers gave no answer; which of them is asked is in the node's script."""
    lines = [line.split() for line in view.read("name servers").splitlines()]
    ends = {fields[0]: fields[1] for fields in lines if len(fields) == 2}
    if "untried" in ends.values():
        raise Unknown("whether its name servers answer was not tried", "install bash and timeout (coreutils) there")
    silent = sorted(server for server, end in ends.items() if end == "silent")
    if silent:
        every = len(silent) == len(settings.servers)
        risk = (
            "the node and its tasks resolve no name of the world outside"
            if every
            else "look-ups of the node and of its tasks wait for seconds before the next server is asked"
        )
        mend = f"start it, let UDP port 53 through, or take it out: {_EDIT}; see: dig @{silent[0]} localhost"
        level = Level.ERROR if every else Level.WARNING
        yield Finding(level, f"name server {', '.join(silent)} does not answer", risk, mend=mend)


def _reads_resolved(view: NodeView, host: Settings) -> bool:
    """Whether the engine reads systemd-resolved's own file in place of /etc/resolv.conf."""
    return [str(server) for server in host.servers] == [_RESOLVED] and view.release >= _RESOLVED_READ


def _own_servers(view: NodeView) -> bool:
    """Whether the engine is given name servers for its containers, so that those of the node do not count."""
    text, command = (view.answers.get(name, (1, ""))[1] for name in ("daemon.json", "command line"))
    return bool(options.Settings.as_far_as_read(text, command.splitlines()[1:]).get("dns"))


def alike(sight: Sight) -> Iterator[Finding]:
    """Whether all nodes have the same name servers and search domains."""
    by_settings: dict[tuple[object, ...], list[str]] = {}
    for view in sight.nodes:
        try:
            settings = parse(view.read("resolvers"))
        except Unknown as why:
            yield why.finding(view.name)
            continue
        by_settings.setdefault((settings.servers, settings.domains), []).append(view.name)
    if len(by_settings) < 2:
        return
    most = max(map(len, by_settings.values()))
    common = [names for names in by_settings.values() if len(names) == most]
    odd = [name for names in by_settings.values() if names is not common[0] or len(common) > 1 for name in names]
    listed = "; ".join(
        f"{few(map(str, addresses)) or 'no server'} with {len(domains)} search domains on {few(names)}"
        for (addresses, domains), names in by_settings.items()
        if isinstance(addresses, tuple) and isinstance(domains, tuple)
    )
    risk = "a task may resolve a name on one node, and not, or to another address, on another"
    yield Finding(
        Level.INFO, f"resolv.conf differs: {listed}", risk, nodes=tuple(odd), mend=f"unless it is meant: {_EDIT}"
    )
