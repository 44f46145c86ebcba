"""A name server of the world outside: it runs in a container with the network of a node, and answers for one name.

Containers get this file as a config of the swarm. It needs Python alone, so it imports nothing of the project. Its
arguments are the name, and addresses of nodes: it listens at the one that its node has, and answers with `ANSWER`.
"""

from __future__ import annotations

import signal
import socket
import sys

#: The address that it answers with (of TEST-NET-1, which nobody has).
ANSWER = "192.0.2.53"


def answer(query: bytes, name: str) -> bytes:
    """Return the answer to a query: the address for *name*, no address of another kind, and no other name."""
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode(errors="replace").lower())
        at += 1 + query[at]
    question = query[12 : at + 5]
    known = ".".join(labels) == name
    given = known and query[at + 1 : at + 3] == b"\0\1"
    flags = b"\x84\x80" if known else b"\x84\x83"
    head = query[:2] + flags + b"\0\1" + (b"\0\1" if given else b"\0\0") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4" + socket.inet_aton(ANSWER)
    return head + question + (record if given else b"")


def serve(name: str, addresses: list[str]) -> None:
    """Answer queries for ever, at the first of *addresses* that can be listened at."""
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for address in addresses:
        try:
            here.bind((address, 53))
            break
        except OSError:
            continue
    while True:
        query, back = here.recvfrom(1500)
        here.sendto(answer(query, name), back)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    serve(sys.argv[1], sys.argv[2:])
