"""Portainer on a node, asked over its HTTP API in the ways that its releases 1.24 and 2 have in common."""

import json
import secrets
from dataclasses import dataclass, field

from suites.support.commands import accepted
from swarmlab.cluster.node import Answer, Node
from swarmlab.cluster.workbench import unique
from swarmlab.errors import Blocked
from swarmlab.wait import State, eventually

#: The document's port.
PORT = 9000
#: What its commands mount.
SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Portainer:
    """Portainer, as it was started on a node.

    Attributes:
        node: where.
        user: name of the administrator that a test sets.
        password: the administrator's password; long enough for every release.
    """

    node: Node
    user: str = "admin"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18))

    def __str__(self) -> str:
        return f"Portainer on {self.node}"

    def ask(self, method, path, *, token="", **sent) -> Answer:
        """One call of its API; *token* is that of a login."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.node.send(method, PORT, f"/api{path}", headers=headers, timeout=30, **sent)

    def told(self, method, path, *, token="", **sent):
        """What a call gave, where it has to succeed."""
        answer = self.ask(method, path, token=token, **sent)
        assert answer.ok, f"{self} answers {method} /api{path} with {answer}: {answer.body[:200]!r}"
        return json.loads(answer.body) if answer.body.strip() else None

    def wants_administrator(self) -> bool:
        """Whether it asks its visitor to set name and password of an administrator."""
        status = self.ask("GET", "/users/admin/check").status
        assert status in (204, 404), f"{self} answers whether an administrator is set with HTTP {status}"
        return status == 404

    def set_administrator(self) -> Answer:
        """What it answers where the administrator's name and password are set."""
        return self.ask("POST", "/users/admin/init", body={"Username": self.user, "Password": self.password})

    def log_in(self, user=None, password=None) -> Answer:
        """What it answers to a login, by default the administrator's."""
        sent = {"Username": self.user if user is None else user}
        sent["Password"] = self.password if password is None else password
        return self.ask("POST", "/auth", body=sent)

    def token(self) -> str:
        """The token of the administrator's login, where that has to succeed."""
        answer = self.log_in()
        assert answer.ok, f"{self} refuses the administrator's login: {answer}"
        return json.loads(answer.body)["jwt"]

    def endpoints(self, token) -> dict[str, int]:
        """The id of each Docker environment that it has, by name."""
        return {one["Name"]: one["Id"] for one in self.told("GET", "/endpoints", token=token)}

    def add_endpoint(self, token, name) -> int:
        """Add the engine whose socket is mounted; gives its id."""
        # Release 1.24 calls the kind by one name, and 2 by the other.
        form = {"Name": name, "EndpointType": "1", "EndpointCreationType": "1"}
        return self.told("POST", "/endpoints", token=token, form=form)["Id"]


def free(node):
    """See that the document's port is not taken on *node* by another than the test."""
    if node.listening(PORT):
        raise Blocked(f"port {PORT} of {node} is taken")


def run(node, image, label, volume) -> str:
    """Start it on *node* as the document does, its volume made before; gives the container's name."""
    name = unique("portainer")
    mounts = f"-v {SOCKET}:{SOCKET} -v {volume}:/data"
    accepted(node, f"run -d -p {PORT}:{PORT} --name {name} --label {label} {mounts} {image}")
    return name


def wait_page(node, promise):
    """Wait until the page answers in plain HTTP; that it does is what *promise* says."""

    def answers():
        answer = node.get(PORT, timeout=30)
        words = answer.body.decode(errors="replace")
        what = "its page" if "portainer" in words.lower() else f"another page: {words[:80]!r}"
        return State(answer.ok and what == "its page", f"{answer}, {what}" if answer.status else str(answer))

    eventually(answers, promise, deadline=60)
