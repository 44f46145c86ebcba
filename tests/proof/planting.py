"""The base class of all planted faults, and the scripts that faults are made of.

A fault is a shell script that runs as root on nodes. A proof that needs more adds it in a class of its own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

from swarmlab.cluster.node import Node


@dataclass(frozen=True)
class Fault:
    """A fault that is planted in a real cluster.

    Attributes:
        name: Unique among the faults of its proof; it names the test.
        script: A shell script that plants it, run as root; empty where the proof plants it in another way.
        nodes: Host names of the nodes where it is planted; all nodes if empty.
    """

    name: str
    script: str = field(default="", kw_only=True)
    nodes: tuple[str, ...] = field(default=(), kw_only=True)

    def plant(self, nodes: Iterable[Node]) -> None:
        """Run the script on those of *nodes* where the fault belongs.

        Raises:
            AssertionError: The script fails on a node.
        """
        for node in nodes:
            if self.script and (not self.nodes or node.name in self.nodes):
                done = node.run(self.script)
                assert done.ok, f"{self.name} on {node}: {done.output}"


def wrap(*cases: str) -> str:
    """Replace the docker command by a script in which the real command is docker.real.

    Args:
        cases: Each "PATTERN) COMMANDS" handles the calls that match the shell pattern; all other calls pass through.
    """
    return wrap_any("docker", *cases)


def wrap_any(program: str, *cases: str, folder: str = "/usr/bin") -> str:
    """Replace any program of a folder, as `wrap` does the docker command."""
    arms = "\n".join(f"    {case};;" for case in cases)
    return (
        f"mv {folder}/{program} {folder}/{program}.real\n"
        f"cat > {folder}/{program} <<'WRAPPER'\n"
        f'#!/bin/sh\ncase "$*" in\n{arms}\nesac\nexec {program}.real "$@"\n'
        "WRAPPER\n"
        f"chmod +x {folder}/{program}\n"
    )


def reword(pattern: str, *changes: tuple[str, str]) -> str:
    """Return a case for `wrap`: in calls that match *pattern*, words change, each by (shell pattern, new word)."""
    arms = " ".join(f"{old}) word={new};;" for old, new in changes)
    change = f'for word do shift; case "$word" in {arms} esac; set -- "$@" "$word"; done'
    return f'{pattern}) {change}; exec docker.real "$@"'


def at_boot(command: str, *, before: str = "") -> str:
    """Install a unit that runs a command at every boot of a machine, before another unit if *before* names one."""
    order = f"Before={before}" if before else "After=multi-user.target"
    return (
        "cat > /etc/systemd/system/gremlin.service <<'UNIT'\n"
        f"[Unit]\n{order}\n[Service]\nType=oneshot\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
        "UNIT\n"
        "systemctl enable gremlin.service\n"
    )


def at_start(loop: str) -> str:
    """Run a script beside the engine of a container node each time that the node is switched on, from the next."""
    return (
        f"cat > /usr/local/sbin/gremlin <<'GREMLIN'\n{loop}\nGREMLIN\n"
        "sed -i 's|^exec dockerd|sh /usr/local/sbin/gremlin >/run/gremlin.log 2>\\&1 \\&\\n&|'"
        " /usr/local/sbin/node-start\n"
    )


def background(loop: str) -> str:
    """Leave a script running after the one that starts it has ended."""
    return f"cat > /run/gremlin <<'GREMLIN'\n{loop}\nGREMLIN\nsetsid sh /run/gremlin >/run/gremlin.log 2>&1 &\n"


#: Ends what `background` left. The pattern does not match the shell that runs this.
END = "pkill -f [/]run/gremlin"


def proxy(twist: str = "pass", *, asked: str = "pass") -> str:
    """Change what the suite and the node's engine say to each other, until the node is switched off.

    Args:
        twist: Lines of Python that may change an answer's `status` and `data`; they can read the request's `method`,
            `path` and `body`.
        asked: Lines of Python that may change a request's `method`, `path` and `body` before the engine gets it.
    """
    twist, asked = (textwrap.indent(lines, " " * 8).lstrip() for lines in (twist, asked))
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
        {asked}
        engine = Engine("localhost")
        headers = {{name: value for name, value in self.headers.items() if name.lower() != "content-length"}}
        engine.request(method, path, body, headers)
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


def runtime(twist: str) -> str:
    """Change what the node's runtime (runc) is told of the containers that it makes from now on.

    Several of these can be planted on a node.

    Args:
        twist: A statement of Python that may change the OCI specification `spec` of a container. Text in it has single
            quotes.

    Source:
        https://github.com/opencontainers/runtime-spec/blob/main/config.md
    """
    program = """
import glob, json, sys
file = sys.argv[1] + "/config.json"
with open(file) as read:
    spec = json.load(read)
for twist in sorted(glob.glob("/run/twists/*")):
    with open(twist) as read:
        exec(read.read())
with open(file, "w") as written:
    json.dump(spec, written)
"""
    return (
        "mkdir -p /run/twists; runc=$(command -v runc)\n"
        f"cat > $(mktemp /run/twists/XXXXXX) <<'TWIST'\n{twist}\nTWIST\n"
        "if ! [ -e $runc.real ]; then\n"
        f"cat > /run/twist <<'PROGRAM'\n{program}PROGRAM\n"
        "mv $runc $runc.real\n"
        "cat > $runc <<WRAPPER\n"
        '#!/bin/sh\nfor word do [ "\\$before" = --bundle ] && python3 /run/twist "\\$word" 2>> /run/twist.log;'
        " before=\\$word; done\n"
        'exec $runc.real "\\$@"\n'
        "WRAPPER\n"
        "chmod +x $runc; fi\n"
    )


def filtering(rule: str, *, hook: str = "prerouting", chain: str = "in") -> str:
    """Add a rule to the table gremlin, in a chain that is asked before the engine's own."""
    return (
        f"nft 'add table ip gremlin; add chain ip gremlin {chain} {{ type filter hook {hook} priority -350; }};"
        f" add rule ip gremlin {chain} {rule}'"
    )


def drop(packets: str) -> str:
    """Drop packets that come in and match *packets*, an expression of nft."""
    return filtering(f"{packets} drop")


#: Takes from a node's overlay networks behind which node each address is; /run/fdb-NAMESPACE puts it back.
NO_FDB = (
    "cd /run/docker/netns; for N in 1-*; do nsenter --net=$N bridge fdb show | grep 'dst .*permanent' |"
    ' while read M _ D _ T _; do echo "bridge fdb append $M dev $D dst $T self permanent" >> /run/fdb-$N;'
    " nsenter --net=$N bridge fdb del $M dev $D dst $T self; done; done; [ -s /run/fdb-$N ]"
)


def clock(seconds: int) -> str:
    """Set the engine's clock *seconds* ahead, or behind if negative, until the engine restarts.

    Container nodes share the host's clock, so the script changes what the engine alone reads: it overwrites the code
    for reading the time that the kernel maps into the engine's memory.
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
