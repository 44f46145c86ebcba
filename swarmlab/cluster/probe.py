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
        """Return the addresses of each of *names*, in one command (see `resolve`).

        It asks as the C library does: over UDP, and over TCP where that answer is cut to 512 bytes, which hold some
        13 addresses of a name (RFC 7766, section 5).
        """
        limit = f"{scaled(2.0):.1f}"
        asked = "; ".join(f"timeout {limit} sh -c {shlex.quote(_ask(name))}; echo ." for name in names)
        found: list[set[str]] = [set()]
        for line in self.run(asked).out.split("\n"):
            match line.split():
                case ["."]:
                    found.append(set())
                case [name, _, "IN", "A", address] if not name.startswith(";"):
                    found[-1].add(address)
        return found[: len(names)] + [set() for _ in names[len(found) :]]

    def fetch(self, urls: Iterable[str], *, timeout: float = 4.0, padding: int = 0, at_once: int = 1) -> list[Answer]:
        """Request each of *urls*, each on a new connection. Bodies are counted, not kept.

        Args:
            urls: the URLs.
            timeout: seconds for each request, at reference speed.
            padding: bytes of a header that makes each request longer.
            at_once: how many requests there may be at the same time.

        Example:
            answers = probe.fetch(["http://web/"] * 5)
            assert all(answer.ok for answer in answers)
        """
        # Releases of curl before 7.83 cannot print a header by its name, so all are printed.
        form = r"\t%{http_code}\t%{size_download}\n"
        curl = f"curl --noproxy '*' -sS -o /dev/null -D - --max-time {scaled(timeout):.1f} -w {shlex.quote(form)}"
        if padding:
            curl += f' -H "X-Padding: $(printf %0{padding}d 0)"'
        asked = list(urls)
        # A function, as a command has at most 128 KiB.
        script = f'ask() {{ {curl} "$1" 2>&1; }}\n' + _each([f"ask {shlex.quote(url)}" for url in asked], at_once)
        printed = self.run(script).out.split("\n.\n")
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


def _each(commands: Sequence[str], at_once: int) -> str:
    """Return a script that runs *commands* and prints what each printed, in their order, with a line "." after it.

    Args:
        commands: the commands.
        at_once: how many may run at the same time.
    """
    if at_once == 1:
        return "; ".join(f"{command}; echo ." for command in commands)
    lines = ["D=$(mktemp -d) || exit"]
    # Each of these takes its turn: none waits for one that another keeps waiting.
    for first in range(min(at_once, len(commands))):
        turn = [f"{command} >$D/{place}" for place, command in enumerate(commands)][first::at_once]
        lines.append(f"( {'; '.join(turn)} ) &")
    lines += ["wait", f"for N in $(seq 0 {len(commands) - 1}); do cat $D/$N; echo .; done", "rm -r $D"]
    return "\n".join(lines)


def _ask(name: str) -> str:
    """Return the shell commands that print the addresses of a name."""
    asked = f"drill {{}}{shlex.quote(name)} A"
    return (
        f'A="$({asked.format("")})"; case "$A" in *";; flags:"*" tc "*) A="$({asked.format("-t ")})";; esac; echo "$A"'
    )


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
