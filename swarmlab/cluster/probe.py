"""A probe: a client container on a node and in a network, which sends requests as the swarm's own containers do."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarmlab.cluster.node import Answer, Node, Result
from swarmlab.errors import LabError
from swarmlab.wait import scaled


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
        """Return the IPv4 addresses that *name* resolves to here; none if it does not resolve."""
        return self.resolve_each([name])[0]

    def resolve_each(self, names: Sequence[str]) -> list[set[str]]:
        """Return the addresses of each of *names*, in one command (see `resolve`)."""
        limit = f"{scaled(2.0):.1f}"
        asked = "; ".join(f"timeout {limit} drill {shlex.quote(name)} A; echo ." for name in names)
        found: list[set[str]] = [set()]
        for line in self.run(asked).out.split("\n"):
            match line.split():
                case ["."]:
                    found.append(set())
                case [name, _, "IN", "A", address] if not name.startswith(";"):
                    found[-1].add(address)
        return found[: len(names)] + [set() for _ in names[len(found) :]]

    def fetch(self, urls: Iterable[str], *, timeout: float = 4.0, padding: int = 0) -> list[Answer]:
        """Request each of *urls* in turn, each on a new connection. Bodies are counted, not kept.

        Args:
            urls: the URLs.
            timeout: seconds for each request, at reference speed.
            padding: bytes of a header that makes each request longer.

        Example:
            answers = probe.fetch(["http://web/"] * 5)
            assert all(answer.ok for answer in answers)
        """
        # Releases of curl before 7.83 cannot print a header by its name, so all are printed.
        form = r"\t%{http_code}\t%{size_download}\n"
        curl = f"curl -sS -o /dev/null -D - --max-time {scaled(timeout):.1f} -w {shlex.quote(form)}"
        if padding:
            curl += f' -H "X-Padding: $(printf %0{padding}d 0)"'
        asked = list(urls)
        printed = self.run("; ".join(f"{curl} {shlex.quote(url)} 2>&1; echo ." for url in asked)).out.split("\n.\n")
        return [_answer(url, printed[index] if index < len(printed) else "") for index, url in enumerate(asked)]

    def refused_whole(self, addresses: Iterable[str], *, timeout: float = 2.0) -> dict[str, int]:
        """Return the *addresses* that full-size packets do not reach.

        Four pings of the interface's MTU, which must not be fragmented, go to each address; one answer is enough.

        Args:
            addresses: addresses of other containers in this container's networks.
            timeout: seconds to wait for the last answer, at reference speed.

        Returns:
            Size of the packets in bytes by address; 0 if the container has no route to it.

        Raises:
            LabError: the probe gave no answer.
        """
        asked = list(addresses)
        commands = "".join(
            f"(mtu=$(cat /sys/class/net/$(ip -o route get {address} | sed 's/.* dev \\([^ ]*\\).*/\\1/')/mtu)\n"
            f"ping -q -c 4 -i 0.2 -W {scaled(timeout):.0f} -M do -s $((mtu - 28)) {address} >/dev/null 2>&1\n"
            f'echo "{address} $? ${{mtu:-0}}") &\n'
            for address in asked
        )
        answer = self.run(commands + "wait")
        lines = [line.split() for line in answer.out.splitlines()]
        if sorted(address for address, *_ in lines) != sorted(asked):
            raise LabError(f"{self.node}: the probe did not answer for every address: {answer.output[-300:]}")
        return {address: int(size) for address, code, size in lines if code != "0"}


def _answer(url: str, printed: str) -> Answer:
    """Return the answer that curl *printed*: headers, its error if there is one, and a line of status and size."""
    status, size, container, error = "0", "0", "", ""
    for line in printed.splitlines():
        name, _, value = line.partition(":")
        if line.startswith("\t"):
            _, status, size = line.split("\t")
        elif name.lower() == "x-server":
            container = value.strip()
        elif name == "curl":
            error = value.partition(") ")[2]
    error = error or ("" if int(status) else "the probe gave no answer")
    return Answer(
        int(status), headers={"X-Server": container} if container else {}, error=error, url=url, size=int(size)
    )
