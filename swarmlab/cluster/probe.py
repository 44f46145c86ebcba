"""A probe: a client container on a node and in a network, which asks as the swarm's own containers do."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarmlab.cluster.node import Node, Result
from swarmlab.errors import LabError
from swarmlab.wait import scaled


@dataclass(frozen=True)
class Fetched:
    """What a request from inside a network gave.

    Attributes:
        url: what was asked for.
        status: the HTTP status, 0 where no answer came.
        size: bytes of the body that arrived.
        container: host name of the container that answered, as the lab's web server tells it.
        error: why it failed, empty if it did not.
    """

    url: str
    status: int
    size: int
    container: str
    error: str

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}, {self.size} bytes"


@dataclass(frozen=True)
class Probe:
    """A client container.

    Attributes:
        node: the node it runs on.
        container: its id.
    """

    node: Node
    container: str

    def __str__(self) -> str:
        return f"a container on {self.node}"

    def run(self, command: str) -> Result:
        """Run a shell command in the container."""
        return self.node.execute(self.container, command)

    def resolve(self, name: str) -> set[str]:
        """The IPv4 addresses that *name* has here; empty where it has none or no answer comes."""
        return self.resolve_each([name])[0]

    def resolve_each(self, names: Sequence[str]) -> list[set[str]]:
        """`resolve` for each of *names*, in one go."""
        limit = f"{scaled(2.0):.1f}"
        asked = "; ".join(f"timeout {limit} drill {shlex.quote(name)} A; echo ." for name in names)
        told: list[set[str]] = [set()]
        for line in self.run(asked).out.split("\n"):
            match line.split():
                case ["."]:
                    told.append(set())
                case [name, _, "IN", "A", address] if not name.startswith(";"):
                    told[-1].add(address)
        return told[: len(names)] + [set() for _ in names[len(told) :]]

    def fetch(self, urls: Iterable[str], *, timeout: float = 4.0, padding: int = 0) -> list[Fetched]:
        """Ask for each of *urls* in turn, each on a connection of its own.

        Args:
            urls: what to ask for.
            timeout: seconds for each, at reference speed.
            padding: bytes by which each request is made longer.
        """
        limit = f"--max-time {scaled(timeout):.1f}"
        form = r"%{http_code}\t%{size_download}\t%header{x-server}\t%{errormsg}\n"
        asked = list(urls)
        curl = f"curl -s -o /dev/null {limit} -w {shlex.quote(form)}"
        if padding:
            curl += f' -H "X-Padding: $(printf %0{padding}d 0)"'
        words = "; ".join(f"{curl} {shlex.quote(url)}" for url in asked)
        lines = self.run(words).out.splitlines()
        fetched = []
        for index, url in enumerate(asked):
            fields = lines[index].split("\t") if index < len(lines) else ["0", "0", "", "the probe gave no answer"]
            status, size, container, error = fields
            fetched.append(Fetched(url, int(status), int(size), container, error))
        return fetched

    def refused_whole(self, addresses: Iterable[str], *, timeout: float = 2.0) -> dict[str, int]:
        """To which of *addresses* no packet comes through that is as large as this container's interface lets it be.

        Four are sent to each, which may not be divided; one answer is enough.

        Args:
            addresses: of other containers in a network of this one.
            timeout: seconds to wait for the last answer, at reference speed.

        Returns:
            By address, the size of the packets in bytes; 0 where the container has no way to it.

        Raises:
            LabError: the probe itself gave no answer.
        """
        asked = list(addresses)
        words = "".join(
            f"(mtu=$(cat /sys/class/net/$(ip -o route get {address} | sed 's/.* dev \\([^ ]*\\).*/\\1/')/mtu)\n"
            f"ping -q -c 4 -i 0.2 -W {scaled(timeout):.0f} -M do -s $((mtu - 28)) {address} >/dev/null 2>&1\n"
            f'echo "{address} $? ${{mtu:-0}}") &\n'
            for address in asked
        )
        answer = self.run(words + "wait")
        told = [line.split() for line in answer.out.splitlines()]
        if sorted(address for address, *_ in told) != sorted(asked):
            raise LabError(f"{self.node}: the probe did not tell of every address: {answer.said[-300:]}")
        return {address: int(size) for address, code, size in told if code != "0"}
