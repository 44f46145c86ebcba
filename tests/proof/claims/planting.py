"""What a fault is: what breaks a cluster, which claims have to fail then, and what the reason has to say.

A fault is a shell script that runs as root on every node as soon as the node is up, before there is a swarm. `wrap`
puts a script in the place of the docker command, to which the real one is known as docker.real; what goes on in the
background begins with `background`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """One way to break a cluster.

    Attributes:
        name: what it is.
        fails: by claim, a regular expression that the reason of its verdict has to match.
        script: what is run on the nodes.
        nodes: the host names of the nodes where; all if empty.
        formed: the script is run when the swarm has been made, and not before.
        offers: features that the lab is said to have, so that the test runs and meets that they are missing.
        lab: the kind of lab that it is planted in.
        run: faults of one name are planted together, which saves making a lab for each; empty: alone.
        portainer: what the double of Portainer does wrong (see `tests.doubles.portainer.double`).
        answers: by path of the API, what to replace in its answers: the only way to have managers that lie.
    """

    name: str
    fails: dict[str, str]
    script: str = "true"
    nodes: tuple[str, ...] = ()
    formed: bool = False
    offers: tuple[str, ...] = ()
    lab: str = "dind"
    run: str = ""
    portainer: tuple[str, ...] = ()
    answers: dict[str, tuple[str, str]] = field(default_factory=dict)


def wrap(*cases: str) -> str:
    """A docker command that treats some calls in its own way, each "PATTERN) COMMANDS", and passes the others on."""
    return wrap_any("docker", *cases)


def wrap_any(program: str, *cases: str, folder: str = "/usr/bin") -> str:
    """`wrap` of any program of a folder."""
    arms = "\n".join(f"    {case};;" for case in cases)
    return (
        f"mv {folder}/{program} {folder}/{program}.real\n"
        f"cat > {folder}/{program} <<'WRAPPER'\n"
        f'#!/bin/sh\ncase "$*" in\n{arms}\nesac\nexec {program}.real "$@"\n'
        "WRAPPER\n"
        f"chmod +x {folder}/{program}\n"
    )


def reword(pattern: str, *changes: tuple[str, str]) -> str:
    """An arm for `wrap`: in calls that fit *pattern*, words are changed, each by (shell pattern, new word)."""
    arms = " ".join(f"{old}) word={new};;" for old, new in changes)
    change = f'for word do shift; case "$word" in {arms} esac; set -- "$@" "$word"; done'
    return f'{pattern}) {change}; exec docker.real "$@"'


def at_boot(command: str, *, before: str = "") -> str:
    """A unit that runs a command once at every boot of a machine, if wanted before another unit."""
    order = f"Before={before}" if before else "After=multi-user.target"
    return (
        "cat > /etc/systemd/system/gremlin.service <<'UNIT'\n"
        f"[Unit]\n{order}\n[Service]\nType=oneshot\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
        "UNIT\n"
        "systemctl enable gremlin.service\n"
    )


def background(loop: str) -> str:
    """A script that goes on after the one that starts it has ended."""
    return f"cat > /run/gremlin <<'GREMLIN'\n{loop}\nGREMLIN\nsetsid sh /run/gremlin >/run/gremlin.log 2>&1 &\n"


def proxy(twist: str) -> str:
    """Stand between the suite and the node's engine, and twist answers.

    *twist* is a line of Python that may change `status` and `data` of an answer, by `method`, `path` and `body` of what
    was asked and `data`; it ends when the node is switched off.
    """
    program = f"""
import http.client, http.server, json, os, secrets, socket, socketserver
class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/docker.sock")
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def pass_on(self):
        method, path = self.command, self.path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        engine = Engine("localhost")
        engine.request(method, path, body, dict(self.headers))
        reply = engine.getresponse()
        status, data = reply.status, reply.read()
        {twist}
        self.send_response(status)
        self.send_header("Content-Type", reply.headers.get("Content-Type", "text/plain"))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    do_GET = do_POST = do_DELETE = do_PUT = pass_on
    def address_string(self): return "suite"
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads, request_queue_size = True, 50
os.unlink("/swarmlab/docker.sock")
server = Server("/swarmlab/docker.sock", Handler)
os.chmod("/swarmlab/docker.sock", 0o666)
server.serve_forever()
"""
    return (
        f"cat > /run/proxy <<'PROXY'\n{program}\nPROXY\n"
        "setsid python3 /run/proxy >/run/proxy.log 2>&1 </dev/null &\n"
        "until curl -s --unix-socket /swarmlab/docker.sock http://localhost/_ping && [ -e /run/proxy.log ]"
        " && pgrep -f /run/proxy >/dev/null; do sleep 0.1; done; sleep 1\n"
    )


def drop(what: str) -> str:
    """Drop packets that come in, in a table that is asked before the engine's own."""
    return (
        "nft 'add table ip gremlin; add chain ip gremlin in { type filter hook prerouting priority -350; };"
        f" add rule ip gremlin in {what} drop'"
    )


def clock(seconds: int) -> str:
    """Let the engine's clock be *seconds* ahead (behind, where negative) while all nodes share the host's.

    A process reads the time by code that the kernel maps into it; that of the running engine is replaced, in the
    engine's own memory, by code that asks the kernel and adds to the answer. It lasts until the engine is restarted.
    """
    return f"python3 - $(pidof dockerd) {seconds} <<'CLOCK'\n{_CLOCK}CLOCK\n"


_CLOCK = r"""
import struct, sys

pid, seconds = map(int, sys.argv[1:])
line = next(line for line in open(f"/proc/{pid}/maps") if "[vdso]" in line)
start, end = (int(word, 16) for word in line.split()[0].split("-"))
with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
    memory.seek(start)
    elf = memory.read(end - start)
    (headers,), (size, count) = struct.unpack_from("<Q", elf, 32), struct.unpack_from("<HH", elf, 54)
    parts = [struct.unpack_from("<IIQQ", elf, headers + index * size) for index in range(count)]
    base = next(address - offset for kind, _, offset, address in parts if kind == 1)
    dynamic = next(offset for kind, _, offset, _ in parts if kind == 2)
    tags = dict(struct.iter_unpack("<QQ", elf[dynamic : dynamic + 16 * 12]))
    names, entry = tags[5] - base, tags[6] - base
    while True:
        name, value = struct.unpack_from("<I4xQ", elf, entry)
        if elf[names + name :].startswith(b"__vdso_clock_gettime\0"):
            break
        entry += 24
    # mov eax, SYS_clock_gettime; syscall; test edi, edi; jne over the next; add qword [rsi], seconds; ret
    code = bytes.fromhex("b8e40000000f0585ff7507488106") + struct.pack("<i", seconds) + b"\xc3"
    memory.seek(start + value - base)
    memory.write(code)
"""
