"""Portainer on a node, asked over the part of its HTTP API that its releases 1.24 and 2 have in common."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from suites.support.commands import accepted
from swarmlab.cluster.marks import unique
from swarmlab.cluster.node import Answer, Node
from swarmlab.errors import Blocked
from swarmlab.wait import State, eventually

#: The document's port.
PORT = 9000
#: The engine's socket, which the document's commands mount.
SOCKET = "/var/run/docker.sock"


@dataclass(frozen=True)
class Portainer:
    """Portainer that a test started on a node.

    Attributes:
        node: the node.
        user: name of the administrator that the test sets.
        password: the administrator's password; long enough for every release.
    """

    node: Node
    user: str = "admin"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(18))

    def __str__(self) -> str:
        """Where it runs, for messages."""
        return f"Portainer on {self.node}"

    def ask(self, method: str, path: str, *, token: str = "", **sent: Any) -> Answer:
        """Make one call of its API.

        Args:
            method: HTTP method.
            path: path below ``/api``.
            token: the token of a login.
            sent: what is sent (see `swarmlab.cluster.node.Node.send`).
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self.node.send(method, PORT, f"/api{path}", headers=headers, timeout=30, **sent)

    def call(self, method: str, path: str, *, token: str = "", **sent: Any) -> Any:
        """Return the parsed JSON of a call that must succeed (see `ask`); None if the answer has no body.

        Raises:
            AssertionError: the call failed.
        """
        answer = self.ask(method, path, token=token, **sent)
        assert answer.ok, f"{self} answers {method} /api{path} with {answer}: {answer.body[:200]!r}"
        return json.loads(answer.body) if answer.body.strip() else None

    def wants_administrator(self) -> bool:
        """Whether it asks its visitor to set name and password of an administrator."""
        status = self.ask("GET", "/users/admin/check").status
        assert status in (204, 404), f"{self} answers whether an administrator is set with HTTP {status}"
        return status == 404

    def set_administrator(self) -> Answer:
        """Set the administrator's name and password."""
        return self.ask("POST", "/users/admin/init", body={"Username": self.user, "Password": self.password})

    def log_in(self, user: str | None = None, password: str | None = None) -> Answer:
        """Log in, by default as the administrator."""
        sent = {"Username": self.user if user is None else user}
        sent["Password"] = self.password if password is None else password
        return self.ask("POST", "/auth", body=sent)

    def token(self) -> str:
        """Return the token of a new login of the administrator, which must succeed."""
        answer = self.log_in()
        assert answer.ok, f"{self} refuses the administrator's login: {answer}"
        token: str = json.loads(answer.body)["jwt"]
        return token

    def endpoints(self, token: str) -> dict[str, int]:
        """Return the ids of the Docker environments that it has, by name."""
        return {endpoint["Name"]: endpoint["Id"] for endpoint in self.call("GET", "/endpoints", token=token)}

    def add_endpoint(self, token: str, name: str) -> int:
        """Add the engine whose socket is mounted.

        Returns:
            The id of the new environment.
        """
        # Release 1.24 names the kind in one field, release 2 in the other.
        form = {"Name": name, "EndpointType": "1", "EndpointCreationType": "1"}
        identity: int = self.call("POST", "/endpoints", token=token, form=form)["Id"]
        return identity


def require_free_port(node: Node) -> None:
    """Check that the document's port is free on *node*.

    Raises:
        Blocked: something listens there.
    """
    if node.listening(PORT):
        raise Blocked(f"port {PORT} of {node} is taken")


def run(node: Node, image: str, label: str, volume: str) -> str:
    """Return start Portainer on *node* with the document's command, on a volume that exists.

    Returns:
        The container's name.
    """
    name = unique("portainer")
    mounts = f"-v {SOCKET}:{SOCKET} -v {volume}:/data"
    accepted(node, f"run -d -p {PORT}:{PORT} --name {name} --label {label} {mounts} {image}")
    return name


def expect_page(node: Node, promise: str) -> None:
    """Expect that its page answers in plain HTTP, as *promise* says."""

    def answers() -> State:
        answer = node.get(PORT, timeout=30)
        text = answer.body.decode(errors="replace")
        what = "its page" if "portainer" in text.lower() else f"another page: {text[:80]!r}"
        return State(answer.ok and what == "its page", f"{answer}, {what}" if answer.status else str(answer))

    eventually(answers, promise, deadline=60)
