"""What runs in a container on every node while an upgrade is rehearsed: asks by name, streams, and answers datagrams.

It is handed to the containers as a config of the swarm, and needs Python alone; nothing of the project is imported.

- GET / asks the service that $ASK names once, by name, and hands on its status and who answered, or why nobody did.
- GET /streams tells of the downloads from every other agent, as JSON (see `State`).
- A connection to port 9001 is sent a line every $EVERY seconds for as long as it lasts, with the node's name first.
- A datagram to port 9000 is sent back with the node's name behind it.
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
#: Seconds after which a request is given up: less than whoever asks this agent waits, who is to be told why.
PATIENCE = float(os.environ.get("PATIENCE", "4"))
#: Seconds between two lines of a download.
EVERY = float(os.environ.get("EVERY", "0.1"))
_LINE = b"." * 1000 + b"\n"
#: Seconds of silence after which a download is given up: a busy machine may stop for some.
_SILENCE = 20.0


class State:
    """The downloads that this agent has made, with peer, bytes and how each ended."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.streams: list[dict[str, Any]] = []


state = State()


def by_name() -> tuple[int, str, str]:
    """Ask once; gives status, container and, where there is no answer, why."""
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
    def do_GET(self) -> None:
        if self.path == "/streams":
            with state.lock:
                told = {"node": NODE, "agent": socket.gethostname(), "streams": state.streams}
                body = json.dumps(told).encode()
            self.answer(200, body=body)
            return
        status, container, why = by_name()
        self.answer(status, {"X-Server": container, "X-Why": why})

    def answer(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size, allow_reuse_address = True, 64, True

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # without looking its own name up


class Stream(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            self.request.sendall(NODE.encode() + b"\n")
            while True:
                self.request.sendall(_LINE)
                time.sleep(EVERY)
        except OSError:
            pass


class Streams(socketserver.ThreadingTCPServer):
    daemon_threads, allow_reuse_address = True, True


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, back = self.request
        back.sendto(data + b" " + NODE.encode(), self.client_address)


def download(address: str, active: set[str]) -> None:
    """Read from another agent for as long as it sends."""
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
    """Download from every agent that the name of all tasks gives, but from this one."""
    active: set[str] = set()
    while True:
        try:
            found = {str(one[4][0]) for one in socket.getaddrinfo(PEERS, 9001, socket.AF_INET, socket.SOCK_STREAM)}
            mine = {str(one[4][0]) for one in socket.getaddrinfo(socket.gethostname(), 0, socket.AF_INET)}
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
