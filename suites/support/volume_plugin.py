"""A volume plugin: a program on a node that speaks the engine's plugin protocol.

Source:
    https://docs.docker.com/engine/extend/plugins_volume/
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from swarmlab.cluster.marks import FOLDERS
from swarmlab.cluster.node import Node
from swarmlab.errors import Blocked, LabError
from swarmlab.wait import State, wait

#: The file in each volume, and the option of a volume that says what is in it.
FILE = "word"
_SOCKETS = "/run/docker/plugins"
_PROGRAM = """
import http.server, json, os, shutil, socketserver, sys
name, root, socket = sys.argv[1:]
def place(asked): return os.path.join(root, asked["Name"])
def volume(asked): return {"Name": asked["Name"], "Mountpoint": place(asked), "Status": {}}
def create(asked):
    os.makedirs(place(asked), exist_ok=True)
    with open(os.path.join(place(asked), "FILE"), "w") as file:
        file.write((asked.get("Opts") or {}).get("FILE", "nothing"))
    return {}
def get(asked):
    return {"Volume": volume(asked)} if os.path.isdir(place(asked)) else {"Err": "no such volume"}
def remove(asked):
    shutil.rmtree(place(asked), ignore_errors=True)
    return {}
answers = {
    "/Plugin.Activate": lambda asked: {"Implements": ["VolumeDriver"]},
    "/VolumeDriver.Create": create,
    "/VolumeDriver.Remove": remove,
    "/VolumeDriver.Mount": lambda asked: {"Mountpoint": place(asked)},
    "/VolumeDriver.Path": lambda asked: {"Mountpoint": place(asked)},
    "/VolumeDriver.Unmount": lambda asked: {},
    "/VolumeDriver.Get": get,
    "/VolumeDriver.List": lambda asked: {"Volumes": [volume({"Name": one}) for one in os.listdir(root)]},
    "/VolumeDriver.Capabilities": lambda asked: {"Capabilities": {"Scope": "global"}},
}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = answers[self.path](json.loads(body or "{}"))
        data = json.dumps({"Err": "", **answer}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.docker.plugins.v1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
    def address_string(self): return "engine"
class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
os.makedirs(root, exist_ok=True)
os.makedirs(os.path.dirname(socket), exist_ok=True)
with Server(socket, Handler) as server:
    server.serve_forever()
""".replace("FILE", FILE)


@contextmanager
def installed(node: Node, name: str) -> Iterator[None]:
    """Have a volume plugin on a node while the context lasts. Its volumes hold a file `FILE`.

    Args:
        node: the node.
        name: the name of the plugin, which is that of its driver.

    Raises:
        Blocked: the node has no Python.
        LabError: the plugin did not start, or the engine does not find it.
    """
    if not node.run("command -v python3").ok:
        raise Blocked(f"{node} has no Python for a volume plugin")
    root, socket = f"{FOLDERS}/{name}", f"{_SOCKETS}/{name}.sock"
    command = f"setsid python3 -c {shlex.quote(_PROGRAM)} {name} {root} {socket}"
    node.run(f"{command} >{root}.log 2>&1 </dev/null & echo $! >{root}.pid").expect(f"the plugin on {node}")
    try:
        wait(
            lambda: State(node.run(f"test -S {socket}").ok, node.run(f"cat {root}.log").output[-200:]),
            f"the volume plugin on {node} to start",
            error=LabError,
        )
        # An engine finds a plugin when it is asked for a volume of it.
        node.docker(f"volume create --driver {name} {name}").expect(f"docker volume create on {node}")
        node.docker(f"volume rm {name}").expect(f"docker volume rm on {node}")
        yield
    finally:
        node.run(f"kill $(cat {root}.pid); rm -rf {socket} {root} {root}.log {root}.pid")
