"""The agent that runs in a container on every node during a rehearsal: it asks by name, streams, and echoes datagrams.

Containers get this file as a config of the swarm. It needs Python alone, so it imports nothing of the project.

- GET / asks the service $ASK once by name, and answers with its status and container, or why it did not answer.
- GET /streams answers with the downloads from every other agent, as JSON (see `State`).
- A connection to port 9001 receives $NODE, then a line every $EVERY seconds until it closes.
- A datagram to port 9000 is sent back with $NODE appended.

$NODE is the node's id in the swarm: engines before 17.10 tell a container nothing else of its node.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import socket
import socketserver
import threading
import time
from typing import Any

NODE = os.environ.get("NODE", "")
ASK = os.environ.get("ASK", "")
PEERS = os.environ.get("PEERS", "")
#: Seconds until a request times out: less than the client of this agent waits, so that it learns why.
PATIENCE = float(os.environ.get("PATIENCE", "4"))
#: Seconds between two lines of a download.
EVERY = float(os.environ.get("EVERY", "0.1"))
_LINE = b"." * 1000 + b"\n"
#: Seconds without data until a download times out. A busy machine may pause for some.
_SILENCE = 20.0


class State:
    """The downloads of this agent, each with peer, bytes and how it ended."""

    def __init__(self) -> None:
        """Start without downloads."""
        self.lock = threading.Lock()
        self.streams: list[dict[str, Any]] = []


state = State()


def by_name() -> tuple[int, str, str]:
    """Ask once, and return the status, the container and, without an answer, the error."""
    try:
        address = socket.getaddrinfo(ASK, 80, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]
    except OSError as failed:
        return 504, "", f"{ASK} does not resolve: {failed}"
    try:
        asked = http.client.HTTPConnection(str(address), 80, timeout=PATIENCE)
        asked.request("GET", "/", headers={"Connection": "close"})
        reply = asked.getresponse()
        reply.read()
        return reply.status, reply.getheader("X-Server", ""), ""
    except (OSError, http.client.HTTPException) as failed:
        return 502, "", f"{ASK} at {address}: {failed!r}"


class Relay(http.server.BaseHTTPRequestHandler):
    """Answers the HTTP requests."""

    def do_GET(self) -> None:
        """Answer / and /streams."""
        if self.path == "/streams":
            with state.lock:
                streams = {"node": NODE, "agent": socket.gethostname(), "streams": state.streams}
                body = json.dumps(streams).encode()
            self.answer(200, body=body)
            return
        status, container, why = by_name()
        self.answer(status, {"X-Server": container, "X-Why": why})

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        """Send a response."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves each request in a thread."""

    daemon_threads, request_queue_size, allow_reuse_address = True, 64, True

    def server_bind(self) -> None:
        """Bind as a TCP server does: HTTPServer would look its own name up, which can take long."""
        socketserver.TCPServer.server_bind(self)


class Stream(socketserver.BaseRequestHandler):
    """Sends lines to one client."""

    def handle(self) -> None:
        """Send lines until the client is gone."""
        try:
            self.request.sendall(NODE.encode() + b"\n")
            while True:
                self.request.sendall(_LINE)
                time.sleep(EVERY)
        except OSError:
            pass


class Streams(socketserver.ThreadingTCPServer):
    """Serves downloads."""

    daemon_threads, allow_reuse_address = True, True


class Echo(socketserver.BaseRequestHandler):
    """Echoes datagrams."""

    def handle(self) -> None:
        """Send the datagram back with the node's id appended."""
        data, back = self.request
        back.sendto(data + b" " + NODE.encode(), self.client_address)


def download(address: str, active: set[str]) -> None:
    """Download from another agent until the connection ends."""
    entry: dict[str, Any] = {"id": 0, "peer": "", "address": address, "bytes": 0, "on": True, "why": ""}
    try:
        with socket.create_connection((address, 9001), timeout=_SILENCE) as peer, peer.makefile("rb") as lines:
            entry["peer"] = lines.readline().decode().strip()
            with state.lock:
                entry["id"] = len(state.streams)
                state.streams.append(entry)
            for line in lines:
                entry["bytes"] += len(line)
            entry["why"] = "the other end closed it"
    except OSError as failed:
        entry["why"] = repr(failed)
    entry["on"] = False
    active.discard(address)


def follow() -> None:
    """Keep downloading from every other agent that the DNS name of all tasks resolves to."""
    active: set[str] = set()
    while True:
        try:
            found = {str(info[4][0]) for info in socket.getaddrinfo(PEERS, 9001, socket.AF_INET, socket.SOCK_STREAM)}
            mine = {str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), 0, socket.AF_INET)}
        except OSError:
            found, mine = set(), set()
        for address in found - mine - active:
            active.add(address)
            threading.Thread(target=download, args=(address, active), daemon=True).start()
        time.sleep(0.5)


if __name__ == "__main__":
    threading.Thread(target=Streams(("", 9001), Stream).serve_forever, daemon=True).start()
    threading.Thread(target=socketserver.ThreadingUDPServer(("", 9000), Echo).serve_forever, daemon=True).start()
    threading.Thread(target=follow, daemon=True).start()
    Server(("", 80), Relay).serve_forever()
