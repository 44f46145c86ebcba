"""Checks of how nodes resolve names of the world outside, and of what their tasks make of it.

An engine copies its node's /etc/resolv.conf for its containers, or that of systemd-resolved where this is all that the
node asks, or gives them the servers that it is told ("dns"). Tasks on networks ask the engine itself (127.0.0.11),
which asks the node's name servers for what it does not know. Containers on the default bridge, and builds, get the
node's name servers, or 8.8.8.8 where the node has none but local ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from swarmlab.lists import few
from swarmlab.preflight import options
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_node

Address = IPv4Address | IPv6Address

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
_NODE = "the node itself, as when it pulls images"
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


def servers(view: NodeView) -> list[IPv4Address]:
    """Return the IPv4 addresses of the name servers that a node and its tasks ask.

    Raises:
        Unknown: the node's command failed.
    """
    host = parse(view.read("resolvers"))
    both = dict.fromkeys([*host.servers, *_of_tasks(view, _copied(view, host))])
    return [server for server in both if isinstance(server, IPv4Address)]


@by_node
def of_node(_: Sight, view: NodeView) -> Iterator[Finding]:
    """Whether the node's resolv.conf is one with which its tasks resolve names."""
    host = parse(view.read("resolvers"))
    used = _copied(view, host)
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
    if not _told(view):
        yield from _lacking(view, used)
    yield from _silent(view, host, used)


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


def _silent(view: NodeView, host: Settings, used: Settings) -> Iterator[Finding]:
    """Yield findings of name servers that gave no answer: of those that tasks ask, and of those of the node itself."""
    lines = [line.split() for line in view.read("name servers").splitlines()]
    ends = {_plain(fields[0]): fields[1] for fields in lines if len(fields) == 2}
    if "untried" in ends.values():
        raise Unknown("whether its name servers answer was not tried", "install bash and timeout (coreutils) there")
    of_tasks, of_node = _of_tasks(view, used)[:_SERVERS], used.servers[:_SERVERS]
    if set(of_tasks) == set(of_node):
        yield from _unheard(of_tasks, ends, "the node and its tasks", _EDIT)
    else:
        yield from _unheard(of_tasks, ends, "the tasks of the node", 'correct "dns" in daemon.json, restart the engine')
        dead = all(ends.get(str(server)) == "silent" for server in of_node)
        own = [server for server in of_node if dead or server not in of_tasks]
        yield from _unheard(own, ends, _NODE, _EDIT, among=of_node)
    if used is not host:
        yield from _unheard(host.servers, ends, _NODE, "systemctl restart systemd-resolved")


def _unheard(
    asked: Sequence[Address], ends: Mapping[str, str], who: str, edit: str, *, among: Sequence[Address] = ()
) -> Iterator[Finding]:
    """Yield a finding if some of these servers gave no answer.

    Args:
        asked: the servers.
        ends: "answers" or "silent" by server; one that is not there was not asked.
        who: who asks them.
        edit: how to name others.
        among: all that are asked with them, if those are more.
    """
    silent = sorted(str(server) for server in asked if ends.get(str(server)) == "silent")
    if not silent:
        return
    every = all(ends.get(str(server)) == "silent" for server in among or asked)
    risk = f"look-ups of {who} wait for seconds before the next server is asked"
    if every:
        risk = f"names of the world outside do not resolve for {who}"
    mend = f"start it, let UDP port 53 through, or take it out: {edit}; see: dig @{silent[0]} localhost"
    level = Level.ERROR if every else Level.WARNING
    yield Finding(level, f"name server {', '.join(silent)} does not answer", risk, mend=mend)


def _plain(server: str) -> str:
    """Return the address of a name server as `parse` has it."""
    address = server.partition("%")[0]
    try:
        return str(ip_address(address))
    except ValueError:
        return address


def _copied(view: NodeView, host: Settings) -> Settings:
    """Return what the engine copies for its containers: systemd-resolved's own file where the node asks that alone."""
    if [str(server) for server in host.servers] == [_RESOLVED] and view.release >= _RESOLVED_READ:
        resolved = view.read("resolved")
        return parse(resolved) if resolved.strip() else host
    return host


def _told(view: NodeView) -> list[Address]:
    """Return the name servers that the engine is told for its containers, in place of those of the node."""
    text, command = (view.answers.get(name, (1, ""))[1] for name in ("daemon.json", "command line"))
    words = options.Settings.as_far_as_read(text, command.splitlines()[1:]).listed("dns")
    return list(parse("\n".join(f"nameserver {word}" for word in words)).servers)


def _of_tasks(view: NodeView, used: Settings) -> list[Address]:
    """Return the name servers that the tasks of a node ask."""
    return _told(view) or list(used.servers)


def alike(sight: Sight) -> Iterator[Finding]:
    """Whether all nodes have the same name servers and search domains."""
    by_settings: dict[tuple[object, ...], list[str]] = {}
    for view in sight.nodes:
        try:
            settings = _copied(view, parse(view.read("resolvers")))
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
