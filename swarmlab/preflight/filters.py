"""Rules of iptables, and what becomes of a packet in them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

#: Outcomes of a chain beside ACCEPT, DROP and targets that end it: the packet goes on behind the chain.
GOES_ON = "goes on"
#: Targets after which the packet meets no further rule of its chain.
_FINAL = ("ACCEPT", "DROP", "REJECT", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "QUEUE", "NFQUEUE", "TPROXY", "NETMAP")
#: Protocols by number, as iptables lists one that it has no name for.
_PROTOCOLS = {"6": "tcp", "17": "udp"}
#: Options of matches that have no value, and those that say nothing of the packet.
_ALONE, _NAMING = ("--random", "--random-fully", "--syn"), ("-m", "--match", "--comment", "--wait")


@dataclass(frozen=True)
class Packet:
    """A packet as rules see it; what is empty is not known.

    Attributes:
        came: the interface by which it came.
        leaves: the interface by which it leaves.
        source: its source address.
        target: its destination address.
        protocol: tcp or udp.
        port: its destination port; 0 if it is not known.
        local: which of its addresses are the node's own: "source", "target" or empty.
    """

    came: str = ""
    leaves: str = ""
    source: str = ""
    target: str = ""
    protocol: str = ""
    port: int = 0
    local: str = ""


@dataclass(frozen=True)
class Rule:
    """A rule: its matches as (negated, option, value), the target, and the address to which that leads packets on."""

    matches: tuple[tuple[bool, str, str], ...]
    target: str
    to: str = ""

    @classmethod
    def read(cls, words: list[str]) -> Rule:
        """Return a rule from the words after its chain's name."""
        matches, target, negated = [], "", False
        words = list(words)
        while words:
            word = words.pop(0)
            if word == "!":
                negated = True
                continue
            if word in ("-j", "-g", "--jump", "--goto"):
                target = words.pop(0) if words else ""
                break  # the rest are the target's own options
            value = ""
            if word not in _ALONE and words and not words[0].startswith("-"):
                if words[0] == "!":  # as programs of old wrote it
                    negated = True
                    words.pop(0)
                value = words.pop(0) if words else ""
            while words and not words[0].startswith("-") and words[0] != "!":
                value += f" {words.pop(0)}"
            if word not in _NAMING:
                matches.append((negated, word, value))
            negated = False
        leads = words.index("--to-destination") + 1 if "--to-destination" in words else len(words)
        return cls(tuple(matches), target, "".join(words[leads : leads + 1]).partition(":")[0])

    def fits(self, packet: Packet) -> bool | None:
        """Whether a packet matches; None if that cannot be said."""
        sure = True
        for negated, option, value in self.matches:
            found = _matches(option, value, packet)
            if found is None:
                sure = False
            elif found == negated:
                return False
        return True if sure else None


def _matches(option: str, value: str, packet: Packet) -> bool | None:
    if option in ("-i", "-o"):
        name = packet.came if option == "-i" else packet.leaves
        if not name:
            return None
        return name.startswith(value[:-1]) if value.endswith("+") else name == value
    if option in ("-s", "-d"):
        address = packet.source if option == "-s" else packet.target
        return ip_address(address) in ip_network(value, strict=False) if address else None
    if option == "-p":
        known = packet.protocol and value not in ("all", "0")
        return _PROTOCOLS.get(value, value) == packet.protocol if known else None
    if option in ("--dport", "--dports"):
        if not packet.port:
            return None
        return any(_within(packet.port, part) for part in value.split(","))
    if option in ("--ctstate", "--state"):
        return "NEW" in value.split(",")
    if option in ("--dst-type", "--src-type") and value == "LOCAL" and packet.local:
        return packet.local == ("target" if option == "--dst-type" else "source")
    return None


def _within(port: int, part: str) -> bool:
    first, sign, last = part.partition(":")
    return int(first) <= port <= int(last or 65535) if sign else port == int(first)


@dataclass
class Rules:
    """The rules that one program of iptables lists.

    Attributes:
        chains: the rules by table and chain.
        policies: the policies of built-in chains by table and chain.
    """

    chains: dict[tuple[str, str], list[Rule]] = field(default_factory=dict)
    policies: dict[tuple[str, str], str] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Rules:
        """Return the rules in the output of iptables-save."""
        made, table = cls(), ""
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:].strip()
            elif line.startswith(":"):
                chain, policy = line[1:].split()[:2]
                made.chains.setdefault((table, chain), [])
                if policy != "-":
                    made.policies[table, chain] = policy
            elif line.startswith("-A "):
                words = shlex.split(line)
                made.chains.setdefault((table, words[1]), []).append(Rule.read(words[2:]))
        return made

    def led_to(self, packet: Packet) -> set[str]:
        """Return the addresses to which rules of table nat may lead a packet on."""
        return {
            rule.to
            for (table, _), rules in self.chains.items()
            for rule in rules
            if table == "nat" and rule.target == "DNAT" and rule.to and rule.fits(packet) is not False
        }

    def reached(self, table: str, chain: str) -> set[str]:
        """Return the names of the chains to which jumps lead from a chain."""
        found: set[str] = set()
        todo = [chain]
        while todo:
            for rule in self.chains.get((table, todo.pop()), []):
                if (table, rule.target) in self.chains and rule.target not in found:
                    found.add(rule.target)
                    todo.append(rule.target)
        return found

    def outcomes(self, table: str, chain: str, packet: Packet) -> set[str]:
        """Return what may become of a packet in a built-in chain: targets that end it, or the chain's policy."""
        return set(self.ends(table, chain, packet))

    def ends(self, table: str, chain: str, packet: Packet) -> dict[str, set[str]]:
        """Return what `outcomes` does, with the chains in which the packet meets it."""
        found = self._walk(table, chain, packet, ())
        if found.pop(GOES_ON, None):
            found.setdefault(self.policies.get((table, chain), "ACCEPT"), set()).add(chain)
        return found

    def _walk(self, table: str, chain: str, packet: Packet, within: tuple[str, ...]) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for rule in self.chains.get((table, chain), []):
            fits = rule.fits(packet)
            if fits is False:
                continue
            if rule.target == "RETURN":
                ends, goes_on = {GOES_ON: {chain}}, False
            elif rule.target in _FINAL:
                ends, goes_on = {rule.target: {chain}}, False
            elif (table, rule.target) in self.chains and rule.target not in within:
                ends = self._walk(table, rule.target, packet, (*within, chain))
                goes_on = bool(ends.pop(GOES_ON, None))
            else:  # counters, marks, logs
                continue
            for end, chains in ends.items():
                found.setdefault(end, set()).update(chains)
            if fits and not goes_on:
                return found
        found.setdefault(GOES_ON, set()).add(chain)
        return found


def sets(text: str) -> Iterator[Rules]:
    """Yield the rules of each program of iptables in a node's answer."""
    for part in text.split("# by "):
        if part.strip():
            yield Rules.read(part)
