"""What engines logged as errors while a run was at work, by node, message and test, and which of that is no fault."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from swarmlab.cluster.clocks import seconds_of
from swarmlab.cluster.node import Node
from swarmlab.parallel import parallel

_LOG = "/var/log/dockerd.log"
_TIME = re.compile(r'time="([^"]+)"')
#: What differs between two lines of the same message: the time, ids, the six digits of names, and numbers.
_VARYING = [
    (re.compile(r'^time="[^"]+" '), ""),
    (re.compile(r"-[0-9a-f]{6}\b"), "-…"),
    (re.compile(r"\b(?=[0-9a-z]*\d)[0-9a-z]{12,}\b"), "…"),
    (re.compile(r"\d+"), "N"),
]
#: By pattern of a line: why sound engines log it whatever asks them, or what a container node lacks.
UNASKED_FOR = {
    # What container nodes lack.
    r"error reading the kernel parameter net\.ipv4\.(vs|neigh)\.": "the host's kernel has no such setting",
    r"Could not get ipvs family information": "the host's kernel has no IPVS",
    r"set up rule failed, \[-t mangle -D|firewall mark rule in sbox lb_|Failed add IP alias .* LB endpoint interface": (
        "without IPVS an engine does not set up what it takes down with a service"
    ),
    r"enabling default vlan on bridge|set bridge default vlan failed": "a container may not write there",
    r"\[resolver\] failed to query external DNS server.*timeout": (
        "its names are asked in DNS if the swarm has none of them, and no DNS answers there"
    ),
    # What engines log in their daily work.
    r"Failed to find network \w+ on node": (
        "a manager that removes an overlay network names each node that no longer uses it "
        "(deallocateNodeAttachments in swarmkit's manager/allocator/network.go)"
    ),
    r"network \S+ remove failed: .*unknown network|fatal task error.*unknown network": (
        "an engine on which two tasks of a network end at once removes it for both (moby/swarmkit#2273)"
    ),
    r"container net ns \S+/lb_\w+ failed|Failed find interface name for endpoint .* to create LB alias": (
        "an engine sets the load balancer of a network up, and the network is gone before it has done so"
    ),
    r"cleanup: failed to delete container from containerd: no such container": (
        "an engine gives up starting the container of a task that the swarm does not want any more"
    ),
    r"failed removing service binding .*network \w+ not found": "an engine removes a network before the names in it",
    r"error reallocating node .*node  cannot be found": "a manager forgets a task that never had a node",
    r"(stream copy error|copy stream failed).*reading from a closed fifo": "a health check ends with its container",
    r"failed sending message on channel.*containerd\.sock\.ttrpc": "containerd is told of a container that has ended",
    r"Bulk sync to node \w+ timed out": "the gossip of a busy host comes late",
}


@dataclass(frozen=True)
class Asked:
    """Lines that a claim asks for: it says that an engine refuses something, and engines log what they refuse so.

    Attributes:
        test: a pattern of the test's id.
        line: a pattern of the lines.
        why: why it cannot be judged without them.
    """

    test: str
    line: str
    why: str


@dataclass(frozen=True)
class Line:
    """A line of level error.

    Attributes:
        node: host name of its node.
        at: its time, in seconds since 1970 by the node's clock.
        text: the line.
    """

    node: str
    at: float
    text: str

    @property
    def message(self) -> str:
        """The line without what varies."""
        text = self.text
        for pattern, instead in _VARYING:
            text = pattern.sub(instead, text)
        return text


def errors(nodes: Sequence[Node]) -> list[Line]:
    """Return the lines of level error, or of a worse level, in the whole log of the engine of each of *nodes*."""

    def of(node: Node) -> list[Line]:
        printed = node.run(f"grep -aE '^time=[^ ]+ level=(error|fatal|panic)' {_LOG}")
        assert printed.code in (0, 1), f"{_LOG} of {node} cannot be read: {printed.output}"
        return [Line(node.name, seconds_of(_TIME.findall(line)[0]), line) for line in printed.out.splitlines()]

    return [line for lines in parallel(of, nodes) for line in lines]


def since(before: Iterable[Line], after: Iterable[Line]) -> list[Line]:
    """Return the lines of *after* that are not among those *before*."""
    left = Counter(after)
    left.subtract(Counter(before))
    return sorted(left.elements(), key=lambda line: line.at)


def times(file: Path) -> dict[str, tuple[float, float]]:
    """Return start and end of each test, as the plugin `tests.proof.existing.when` wrote them."""
    found = {}
    for line in file.read_text().splitlines():
        start, end, test = line.split(" ", 2)
        found[test] = float(start), float(end)
    return found


def unasked(
    lines: Iterable[Line], ran: Mapping[str, tuple[float, float]] | None = None, asked: Sequence[Asked] = ()
) -> list[str]:
    """Return a sentence for each message that nothing excuses: how often each node logged it, and during which test.

    Args:
        lines: lines of level error.
        ran: start and end of each test, by the clock of the nodes.
        asked: lines that claims ask for.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    first: dict[tuple[str, str], str] = {}
    for line in lines:
        test = next((test for test, (start, end) in (ran or {}).items() if start <= line.at <= end), "no test")
        if any(re.search(pattern, line.text) for pattern in UNASKED_FOR):
            continue
        if any(re.search(one.test, test) and re.search(one.line, line.text) for one in asked):
            continue
        counts.setdefault((test, line.message), Counter())[line.node] += 1
        first.setdefault((test, line.message), line.text)
    return [
        f"{', '.join(f'{count} on {node}' for node, count in sorted(by_node.items()))} during {test}, "
        f"such as: {first[test, message]}"
        for (test, message), by_node in sorted(counts.items(), key=lambda found: -found[1].total())
    ]
