"""A gate before the registry: on every node's loopback, it lets those pass who have the user and the password."""

from __future__ import annotations

import base64
import json
import re

from suites.support.commands import refusal
from suites.support.payloads import make, on_every_node, value
from swarmlab.cluster.swarm import Swarm
from swarmlab.errors import Blocked
from swarmlab.lists import few
from swarmlab.parallel import parallel
from swarmlab.wait import State, wait

#: An engine's words for a registry that does not let it in.
REFUSED = re.compile("unauthorized|denied|credentials|authenticat|authoriz", re.IGNORECASE)

_USER = "carrier"
#: A web server that asks for a password and hands on to the registry. Nobody looks at what it writes.
_SETTINGS = """daemon off;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr crit;
events {{ worker_connections 256; }}
http {{
    access_log off;
    server {{
        listen 80;
        location / {{
            auth_basic registry;
            auth_basic_user_file /gate.users;
            proxy_set_header Authorization "";
            proxy_set_header Host {registry};
            proxy_pass http://{address};
        }}
    }}
}}
"""


class Gate:
    """A task on every node that asks for a password before it hands on to the registry of the lab's images.

    An engine needs no setting for a registry on its own loopback.

    Attributes:
        registry: host and port at which each node finds it.
    """

    def __init__(self, cluster: Swarm) -> None:
        """Start it on every node, and wait until it refuses the engines of all nodes, which have no password.

        Raises:
            Blocked: the address of the registry is not known.
            DeadlineExceeded: an engine does not reach it.
        """
        self._cluster = cluster
        self._password = value()
        behind, _, name = cluster.image("hello").partition("/")
        self._image = name if ":" in name else f"{name}:latest"
        host, _, port = behind.partition(":")
        known = cluster.manager.look(f"getent ahostsv4 {host}").out.split()
        if not known:
            raise Blocked(f"{cluster.manager} does not know the address of {host}")
        settings = _SETTINGS.format(registry=behind, address=f"{known[0]}:{port or 80}")
        published = cluster.port()
        files = {
            "/gate.conf": make(cluster, "configs", settings),
            "/gate.users": make(cluster, "configs", f"{_USER}:{{PLAIN}}{self._password}\n"),
        }
        on_every_node(
            cluster,
            "gate",
            image="web:1",
            command=["nginx", "-c", "/gate.conf"],
            configs=[config.at(path) for path, config in files.items()],
            publish={published: 80},
            publish_mode="host",
        )
        self.registry = f"127.0.0.1:{published}"
        wait(self._shut, "the gate before the registry to refuse the engine of every node", every=1)

    def _shut(self) -> State:
        nodes = self._cluster.nodes
        said = parallel(lambda node: refusal(node.pull, self.image), nodes)
        wrong = [
            f"{node} has {words or 'the image without one'}"
            for node, words in zip(nodes, said, strict=True)
            if not REFUSED.search(words)
        ]
        return State(not wrong, few(wrong, "; ") or "all are refused")

    @property
    def image(self) -> str:
        """A small image behind the gate, by the name that no node has it by."""
        return f"{self.registry}/{self._image}"

    def client(self, password: str = "") -> str:
        """Return settings of docker's command with the user's *password*, the right one if empty, as JSON."""
        both = f"{_USER}:{password or self._password}"
        return json.dumps({"auths": {self.registry: {"auth": base64.b64encode(both.encode()).decode()}}})
