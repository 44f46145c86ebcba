"""What passes packets on a node otherwise than on the others: links, settings of the kernel, filters, queues, routes.

The other checks hold what is against what should be. This one knows nothing of what should be: it says in what one node
differs from all others with the same engine, so that also a cause which nobody has thought of has a name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from swarmlab.cluster import quotes
from swarmlab.lists import few
from swarmlab.preflight.ahead import CAN_ENTER, FIND_SAVER, TO_NAMESPACES, needs
from swarmlab.preflight.balancers import MESH
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight

_LOOK = (
    # What the kernel does with packets, in the network namespace in which it is asked.
    "cd /proc/sys/net; for F in ipv4/ip_forward ipv4/conf/all/rp_filter ipv4/conf/all/forwarding "
    "ipv4/conf/all/arp_ignore ipv4/conf/all/arp_filter ipv4/icmp_echo_ignore_all ipv4/neigh/default/gc_thresh3 "
    "ipv4/ip_local_port_range ipv4/tcp_tw_reuse netfilter/nf_conntrack_max "
    "netfilter/nf_conntrack_tcp_timeout_established bridge/bridge-nf-call-iptables "
    'ipv4/vs/*; do [ -e $F ] && echo "setting $F $(cat $F)"; done; '
    # Interfaces that forward nothing though the node does.
    "grep -qx 0 ipv4/ip_forward || grep -sx 0 ipv4/conf/*/forwarding /dev/null "
    '| sed -e "s/^/setting /" -e "s/:0/ 0/"; '
    "ip -o link show; ip rule show; tc qdisc show; ip -o route show default; ip route show table all type unreachable; "
    "ip route show table all type blackhole; ip route show table all type prohibit; "
)
#: Rules of iptables that drop packets or keep them from being tracked, also those that no chain of the engine's has.
_DROPS = (
    f"{FIND_SAVER}; "
    '{ $A; [ $A = iptables-save ] || [ -z "$(cat /proc/net/ip_tables_names)" ] || iptables-legacy-save; } | '
    "awk '/^[*]/ { T = substr($1, 2) } / -j (DROP|REJECT|NOTRACK|CT)( |$)/ && "
    "/^-A (PREROUTING|INPUT|FORWARD|OUTPUT|POSTROUTING) / "
    '{ gsub(/[0-9]+[.][0-9]+[.][0-9]+[.][0-9]+([/][0-9]+)?/, "*"); print "-t " T, $0 }\' | sort -u; '
)
#: The chains of nft, and of tables with one that drops what is forwarded all chains: so many lines at most, each of so
#: many characters. Those that iptables, engines and firewalld make are looked at by other checks.
_CHAINS = (
    "nft list ruleset | awk '/^table|type .* hook/ { print } "
    '/^table / { B = $2 " " $3; N = D = 0; '
    'S = $2 == "inet" || $2 == "ip" && $3 !~ /^(filter|nat|mangle|raw|security)$/; '
    "S = S && $3 !~ /^(swarmlab|docker|firewalld)/ } "
    "/^\\tflags .*dormant/ { S = 0 } "
    "/^\\tchain / { C = 1 } "
    # A rule that is cut may accept.
    'C && N++ < 200 { B = B "\\n" substr($0, 1, 300) (length($0) > 300 ? " accept" : "") } '
    "/hook forward .*policy drop/ { D = 1 } "
    "/^\\t}/ { C = 0 } "
    '/^}/ && S && D { A = A "\\nchains " B (N > 200 ? "\\nmore" : "") } '
    'END { if (A) print "place chains" A }\''
)
#: What is looked at, for the node and for the namespace of the mesh; there also the rules.
QUESTION = (
    "[ $(id -u) = 0 ] || { echo be root; exit 1; }; "
    f"{FIND_SAVER}; {needs('ip', '$A')}; {CAN_ENTER}; "
    "echo place the node; { %s %s ip -4 neigh show nud permanent; "
    f"{_CHAINS}; }} 2>/dev/null; "
    f"{TO_NAMESPACES} 2>/dev/null && [ -e {MESH} ] || exit 0; echo place {MESH}; "
    f"nsenter --net={MESH} sh -c '%s true' 2>/dev/null; "
    f"nsenter --net={MESH} $A -t nat 2>/dev/null; nsenter --net={MESH} $A -t filter 2>/dev/null; true"
) % (_LOOK, _DROPS, _LOOK)
#: Rules that engines make only where a network or a container needs them: against what comes from beside a bridge (28
#: on), between containers of a bridge (before), and in the clear for an encrypted network.
_OF_ENGINES = re.compile(
    r"-A PREROUTING -d \S+ ! -i \S+ .*-j DROP|-A FORWARD -i (\S+) -o \1 -j DROP|-A (IN|OUT)PUT .*-m (u32|bpf) "
)
#: The tables of nft that are iptables'; their rules are read by it.
_OF_IPTABLES = re.compile(r"ip6? (filter|nat|mangle|raw|security)$")
#: In an answer, the chains of tables that drop what is forwarded.
_PLACE_OF_CHAINS = re.compile(r"^place chains\n(.*?)(?=^place |\Z)", re.MULTILINE | re.DOTALL)
#: Interfaces that come and go with containers.
_PASSING = re.compile(r"^(veth|br-|dm-|vx-|ov-|ifb|docker0|lo$)")
#: The setting for how many seconds a connection on which nothing passes is known, and those after which few are missed.
_FORGETS, _LONG = "netfilter/nf_conntrack_tcp_timeout_established", 3600
#: The most differences of a node that are told; one with more is another kind of machine.
_MOST = 8


def facts(text: str) -> set[str]:
    """Return what an answer to `QUESTION` says, without what has to differ from node to node: addresses and numbers."""
    found: set[str] = set()
    place = table = ""
    for line in _PLACE_OF_CHAINS.sub("", text).splitlines():
        words = line.split()
        if line.startswith("place "):
            place, table = line.removeprefix("place "), ""
        elif words and words[0] == "table" and "swarmlab" not in line:
            table = " ".join(words[1:3])
        elif words and words[0] == "table":
            table = "swarmlab"
        elif words and words[0] == "type" and table != "swarmlab":
            # iptables makes its chains at the first rule in them, and leaves them there.
            if not (_OF_IPTABLES.match(table) and "policy accept" in line):
                found.add(f"{place}: nft's table {table}: {line.strip()}")
        elif fact := _fact(words, line):
            found.add(f"{place}: {fact}")
    return found


def _fact(words: list[str], line: str) -> str:
    if words[:1] == ["setting"]:
        return _setting(words[1], words[2:])
    if len(words) > 4 and words[2].startswith("<"):
        name, up = words[1].partition("@")[0].rstrip(":"), "UP" in words[2].strip("<>").split(",")
        return "" if _PASSING.match(name) else f"link {name} is {'up' if up else 'down'}, with mtu {words[4]}"
    if words[:1] == ["qdisc"] and "dev" in words:
        name = words[words.index("dev") + 1]
        plain = words[1] in ("noqueue", "mq", "fq_codel", "pfifo_fast", "fq")
        return "" if plain or _PASSING.match(name) else f"queue {' '.join(words[1:2] + words[3:])}"
    if words and re.fullmatch(r"\d+:", words[0]) and "lookup" in line:
        return f"rule {line.strip()}"
    if words[:1] == ["default"]:
        ways = [name for word, name in itertools.pairwise(words) if word == "dev"]
        return f"default route is by {', '.join(ways)}"
    if words[:1] and words[0] in ("unreachable", "blackhole", "prohibit"):
        return f"route {line.strip()}"
    if "PERMANENT" in words and "dev" in words:
        name = words[words.index("dev") + 1]
        return "" if _PASSING.match(name) else f"a permanent entry for a neighbour by {name}"
    if words[:1] in (["-A"], ["-P"], ["-t"]):
        return "" if words[0] == "-t" and _OF_ENGINES.search(line) else _rule(line)
    return ""


def _setting(name: str, values: list[str]) -> str:
    """Return the fact of a setting of the kernel; empty if it says nothing of how packets pass."""
    own = name.removeprefix("ipv4/conf/")
    if own != name and _PASSING.match(own):
        return ""
    if name == _FORGETS and values[:1] and values[0].isdigit() and int(values[0]) >= _LONG:
        return ""
    return f"{name.replace('/', '.')} is {' '.join(values)}"


def _rule(line: str) -> str:
    """Return a rule without what differs from node to node, and without what others say in it."""
    plain = re.sub(r'-m comment --comment ("(\\.|[^"\\])*"|\S+) ', "", line.strip())
    masked = re.sub(r"\b\d+\.\d+\.\d+\.\d+(/\d+)?\b|--to-ports? \S+|\b\d{4,5}\b", "*", plain)
    return quotes.rules(masked)


@dataclass(frozen=True)
class Dropping:
    """A chain of nft that drops what is forwarded.

    Attributes:
        table: family and name of its table.
        chain: its name.
        hook: the line that says where it hangs.
    """

    table: str
    chain: str
    hook: str


#: What rules of chains that let no new connection through may accept: answers, and what is no traffic of tasks.
_OF_ANSWERS = re.compile(
    r"ct state [{ ]*(established|related)([, ]+(established|related))*[} ]|^(?!.*\b(tcp|udp)\b).*\bicmp"
    r"|iif(name)? \"?lo\b"
)
#: What lets a packet through, or hands it to a program.
_PASSES = re.compile(r"\b(accept|queue)\b")
#: In a map of states, a state whose packets are accepted, or go to another chain.
_NEW_PASSES = re.compile(r"\b(new|untracked|invalid) : (accept|jump|goto)")


def dropping(text: str) -> Iterator[Dropping]:
    """Yield the chains that drop what is forwarded, and accept no new connection, in an answer to `QUESTION`."""
    for section in re.split(r"^chains ", "".join(_PLACE_OF_CHAINS.findall(text)), flags=re.MULTILINE)[1:]:
        table, _, body = section.partition("\n")
        if body.rstrip().endswith("\nmore"):
            continue
        chains = dict(re.findall(r"^\tchain (\S+) \{\n(.*?)^\t\}", body, re.MULTILINE | re.DOTALL))
        for name, rules in chains.items():
            hook = re.search(r"type .* hook forward .*policy drop.*", rules)
            if hook and not _accepts(name, chains, set()):
                yield Dropping(table.strip(), name, hook[0].strip())


def _accepts(name: str, chains: Mapping[str, str], seen: set[str]) -> bool:
    """Whether a chain, or one to which it leads, accepts more than answers."""
    if name in seen or name not in chains:
        return name not in seen  # what is not known may accept
    seen.add(name)
    for line in chains[name].splitlines():
        rule = re.sub(r'comment "[^"]*"', "", line)
        if " hook " in rule:
            continue
        if "vmap @" in rule:  # what is in a map that has a name was not read
            return True
        of_states = "ct state vmap" in rule and "}" in rule
        passes = _NEW_PASSES if of_states else _PASSES
        if passes.search(rule) and (of_states or not _OF_ANSWERS.search(rule)):
            return True
        led = [] if of_states else re.findall(r"\b(?:jump|goto) (\S+?)[,}]?(?:\s|$)", rule)
        if any(_accepts(chain, chains, seen) for chain in led):
            return True
    return False


def _of_forward(view: NodeView, found: Dropping) -> Finding:
    rule = f"nft insert rule {found.table} {found.chain}"
    ways = [f"{rule} {way} accept" for way in ('oifname "docker_gwbridge"', 'iifname "docker_gwbridge"')]
    mend = (
        f"on {{nodes}}: {'; '.join(ways)}; or only what comes for published ports: {rule} ct status dnat accept; and "
        "the same in the file that the table is loaded from (/etc/nftables.conf)"
    )
    return Finding(
        Level.WARNING,
        f"nft's table {found.table}: {found.hook} and no rule accepts a new connection",
        "published ports do not answer on the node, or its tasks do not reach addresses outside the cluster",
        nodes=(view.name,),
        mend=mend,
    ).by_hand(f"nft list table {found.table}", "")


def unlike(sight: Sight) -> Iterator[Finding]:
    """Whether nodes with the same engine are alike in what they do with packets, and none drops all it forwards."""
    read: dict[str, set[str]] = {}
    for view in sight.nodes:
        try:
            view.check_active()
            text = view.read("packets")
        except Unknown as why:
            yield why.finding(view.name)
            continue
        read[view.name] = facts(text)
        for found in dropping(text):
            read[view.name].discard(f"the node: nft's table {found.table}: {found.hook}")
            yield _of_forward(view, found)
    for view in sight.nodes:
        others = [read[other.name] for other in _like(sight, view) if other.name in read]
        if view.name not in read or len(others) < 2:
            continue
        common, known = set.intersection(*others), set.union(*others)
        lacks, has = common - read[view.name], read[view.name] - known
        told = [f"only here {fact}" for fact in sorted(has)]
        told += [f"not as elsewhere {fact}" for fact in sorted(lacks) if not _answered(fact, has)]
        if told:
            mend = "on {nodes}: see whether this is on purpose, and whether packets are lost by it"
            more = few(told, "; ", most=_MOST)
            yield Finding(Level.INFO, f"differs from the other nodes: {more}", nodes=(view.name,), mend=mend)


def _answered(fact: str, has: set[str]) -> bool:
    """Whether what a node has in the place of a fact is told already: another value of the same setting or link."""
    head = re.split(r" is |: link ", fact)[0] if " is " in fact else ""
    return bool(head) and any(other.startswith(f"{head} is ") for other in has)


def _like(sight: Sight, view: NodeView) -> list[NodeView]:
    return [other for other in sight.nodes if other is not view and other.active and other.release == view.release]
