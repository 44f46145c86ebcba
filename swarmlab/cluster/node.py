"""A node: one machine of a cluster, reached through its shell, its engine's API and its network."""

from __future__ import annotations

import functools
import json
import logging
import math
import re
import shlex
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import docker
import requests
import urllib3
from testinfra.host import Host

from swarmlab.cluster import deadline
from swarmlab.cluster.clocks import Clock, seconds_of
from swarmlab.cluster.streams import Streams
from swarmlab.errors import Blocked, EngineRefused, LabError, NoAnswer, Overdue, SwarmlabError
from swarmlab.evidence import provisional, record
from swarmlab.needs import FEATURES
from swarmlab.parallel import ELSEWHERE, HERE, parallel
from swarmlab.timing import span, timed
from swarmlab.versions import parsed
from swarmlab.wait import scaled

T = TypeVar("T")

#: The ports of a swarm: cluster management, gossip between nodes, data of overlay networks.
MANAGEMENT_PORT = 2377
GOSSIP_PORT = 7946
DATA_PORT = 4789

#: The folder of an engine's state, unless its setting data-root names another.
DATA_ROOT = "/var/lib/docker"

#: Swarm's words for an optimistic-lock conflict, and how many in a row are retried.
OUT_OF_SEQUENCE, REVISIONS = "update out of sequence", 10

# testinfra logs what each command prints, and pytest shows that log, which is neither shaped nor redacted.
logging.getLogger("testinfra").disabled = True

#: The nft table of a fault that keeps nodes from hearing each other.
_FAULT_TABLE = "swarmlab_fault"
#: Seconds in which an engine answers a ping, not scaled. An engine that starts without a leader takes over 20.
GREETING = 25.0
#: Seconds since an engine's last answer after which it is pinged before the next call.
LATELY = 30.0
_MESH_TABLE = "nsenter --net=/run/docker/netns/ingress_sbox ipvsadm -Ln"
#: Characters of a failed command's output that a message has, from its end.
_OUTPUT_IN_MESSAGE = 1000


@dataclass(frozen=True)
class Result:
    """The result of a command on a node.

    Attributes:
        command: the command line.
        code: its exit code.
        out: its standard output.
        err: its standard error.
        node: host name of the node.
    """

    command: str
    code: int
    out: str
    err: str
    node: str = ""

    @property
    def ok(self) -> bool:
        """Whether the command ended with exit code 0."""
        return self.code == 0

    @property
    def output(self) -> str:
        """Standard output and standard error as one text, for messages."""
        return "\n".join(text for text in (self.out.strip(), self.err.strip()) if text)

    def expect(self, what: str = "", *, error: type[Exception] = LabError) -> str:
        """Return the standard output of a command that must succeed.

        The verdict hangs on *error*: LabError gives *broken*, AssertionError and EngineRefused give *fail*.

        Args:
            what: subject of the message, such as "docker node ls on master"; the command itself if empty.
            error: the class of what is raised.

        Raises:
            Exception: an *error*; the command ended with another exit code than 0.

        Example:
            listed = node.docker("node ls").expect(error=AssertionError)
        """
        if self.ok:
            return self.out
        what = what or f"{self.command} on {self.node}"
        if error is EngineRefused:
            raise EngineRefused(self.node, self.code, f"{what}: {self.output}")
        raise error(f"{what} ended with {self.code}: {self.output[-_OUTPUT_IN_MESSAGE:]}")


@dataclass(frozen=True)
class Answer:
    """The outcome of an HTTP request, from the suite's machine or from a probe.

    Attributes:
        status: the HTTP status, 0 without an answer.
        body: the answer's body, empty where it was not kept.
        headers: the answer's headers; of a probe's requests only ``X-Server``.
        error: why there is no answer, or only part of one; else empty.
        seconds: how long it took, as far as that was measured.
        url: the URL of the request.
        size: bytes of the body that arrived, kept or not.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0
    url: str = ""
    size: int = 0

    @property
    def ok(self) -> bool:
        """Whether the answer is a success (2xx)."""
        return 200 <= self.status < 300

    @property
    def container(self) -> str:
        """Host name of the container that answered; the lab's web server sends it as ``X-Server``."""
        return self.headers.get("X-Server", "")

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}, {self.size} bytes"


class TaskListener(Protocol):
    """Receives every answer to ``GET /tasks`` of a node's engine; `swarmlab.cluster.lifelines.Lifelines` is one."""

    def note(self, manager: str, tasks: Any) -> None:
        """Note that the node of host name *manager* answered with *tasks*."""


class Discretion(Protocol):
    """Writes what records hold of a machine of others; `swarmlab.cluster.discretion.Discretion` is one."""

    def call(self, method: str, path: str, sent: str, answer: str) -> tuple[str, str]:
        """Return what a record has of a call of the API: the body that was sent, and the answer."""

    def printed(self, command: str, output: str) -> str:
        """Return what a record has of the output of a command."""

    def shaped(self, thing: Any, path: str = "") -> Any:
        """Return an answer of the API as a record has it: names and shape."""

    def quote(self, tasks: Iterable[dict[str, Any]]) -> None:
        """Leave out of the messages of others' tasks what they quote."""


class Node(ABC):
    """One machine. Each kind of lab has a subclass, which switches its machines on and off.

    Args:
        name: host name.
        address: IPv4 address on the cluster network.
        host: testinfra's connection to the machine, as root.
        engine_url: URL of the engine's API, as docker-py takes it.

    Attributes:
        name: host name; the document's names are master, slave01 and slave02.
        address: IPv4 address on the cluster network.
        host: testinfra's connection to the machine, as root.
        root: whether commands run as root.
        lifelines: receives every list of tasks that the engine returns; None if nothing does.
        discretion: writes the records of a machine on which others have work; None if all there is the suite's.
        own_processors: it has processors of its own, so that work on it slows neither this machine nor other nodes.
    """

    lifelines: TaskListener | None = None
    discretion: Discretion | None = None
    root = True
    own_processors = False

    def __init__(self, name: str, address: str, host: Host, engine_url: str) -> None:
        self.name = name
        self.address = address
        self.host = host
        self._engine_url = engine_url
        self._heard = -math.inf  # time of the engine's last answer, by the monotonic clock
        self._silent = False
        self._manages = False  # whether it was a manager when it was last asked
        self._client: docker.DockerClient | None = None
        self._connecting = threading.Lock()
        self._data_root = ""

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.address}>"

    # Asking

    @property
    def engine(self) -> docker.DockerClient:
        """docker-py's client of the engine. Its requests and answers go into the evidence.

        Raises:
            NoAnswer: the engine does not answer.
        """
        # No cached_property: before Python 3.12 its lock is the class's, and an engine that hangs would hold up all.
        with self._connecting:
            if self._client is None:
                self._client = self._connected()
            return self._client

    def _connected(self) -> docker.DockerClient:
        try:
            seconds = math.ceil(deadline.left(self._patience))
            client = docker.DockerClient(base_url=self._engine_url, version="auto", timeout=seconds)
        except docker.errors.DockerException as failed:
            self._silent = True
            raise NoAnswer(f"the engine of {self.name} does not answer: {cause(failed)}") from failed
        client.api.timeout = 60
        client.api.trust_env = False  # no node is behind a proxy, and looking for one takes longer than a request
        client.api.hooks["response"].append(self._note)
        client.api.send = timed("call", client.api.send)  # type: ignore[method-assign]
        self._heard, self._silent = time.monotonic(), False
        return client

    def forget(self) -> None:
        """Close the client: another engine, perhaps with another version of the API, has taken the engine's place."""
        client, self._client = self._client, None
        if client:
            client.close()
        self._heard, self._data_root = -math.inf, ""

    @property
    def _patience(self) -> float:
        """Seconds to wait for an answer to a ping; few if there was none the last time."""
        return scaled(3) if self._silent else GREETING + scaled(5)

    def greet(self) -> None:
        """Ping the engine.

        A frozen machine accepts every request and never answers. A working engine answers a ping within `GREETING`
        seconds, whatever it and its swarm are busy with.

        Raises:
            NoAnswer: the engine does not answer.
        """
        api = self.engine.api
        try:
            with provisional():  # an answered ping is no evidence
                api.request("GET", f"{api.base_url}/_ping", timeout=deadline.left(self._patience))
        except requests.exceptions.RequestException as silent:
            self._silent = True
            record(self.name, "GET /_ping", f"no answer: {cause(silent)}")
            raise NoAnswer(f"the engine of {self.name} does not answer: {cause(silent)}") from silent
        self._heard, self._silent = time.monotonic(), False

    def client(self) -> docker.DockerClient:
        """Return a new client of the engine, for a thread beside the test. Its calls do not go into the evidence.

        It is for one thread only. Its timeout is two seconds at reference speed.
        """
        return docker.DockerClient(base_url=self._engine_url, version="auto", timeout=math.ceil(scaled(2)))

    def _note(self, response: requests.Response, **how: Any) -> None:
        if re.search(r"/exec(/|$)", str(response.request.path_url)):
            return  # `execute` records the command with its result
        stream = how.get("stream")
        answer = "(a stream)" if stream else response.text
        if response.ok and response.request.path_url.endswith("/info"):
            # The most frequent and one of the longest answers: keep what concerns the swarm.
            answer = json.dumps({key: response.json()[key] for key in ("Name", "ServerVersion", "SystemTime", "Swarm")})
        request = f"{response.request.method} {response.request.path_url}"
        sent = "" if stream or not response.request.body else f"{response.request.body!r}"
        if self.discretion and not stream:
            body = response.request.body or ""
            body = body.decode(errors="replace") if isinstance(body, bytes) else str(body)
            sent, answer = self.discretion.call(
                str(response.request.method), str(response.request.path_url), body, answer
            )
        record(self.name, f"{request} {sent}" if sent else request, f"{response.status_code} {answer}")

    def run(self, command: str, *, user: str | None = None, shown: Callable[[str], str] | None = None) -> Result:
        """Run a shell command on the node as root, or in a login session of *user*.

        Args:
            command: the command line.
            user: the user whose login session runs it; None for root.
            shown: returns what a record has of the output where others have work on the machine; None for what
                `Discretion.printed` returns.

        Raises:
            LabError: the node cannot be reached.
            Overdue: it is run `within` a deadline, and did not end in time.

        Example:
            assert node.run("systemctl is-active docker").ok
        """
        line = f"su - {user} -c {shlex.quote(command)}" if user else command
        return self._run(self.host, line, command, shown)

    def look(self, command: str) -> Result:
        """`run` a command that only reads and does not need root."""
        return self.run(command)

    def _run(self, host: Host, line: str, command: str = "", shown: Callable[[str], str] | None = None) -> Result:
        command = command or line
        try:
            with span("command", command):
                done = deadline.run(host, line)
        except Overdue as late:
            record(self.name, command, str(late))
            raise Overdue(f"the shell of {self.name} {late}", late.printed) from None
        except RuntimeError as unreachable:  # testinfra raises it if there is no connection
            done = unreachable.args[0] if unreachable.args else None
            # 255 is ssh's exit code for a lost connection, but the command may end with it too: it may be an ssh.
            if getattr(done, "rc", None) != 255 or not _reached(host):
                raise LabError(f"{self.name} cannot be reached: {str(unreachable)[-200:]}") from unreachable
        return self._result(command, done.rc, done.stdout_bytes, done.stderr_bytes, shown)

    def _result(
        self, command: str, code: int, out: bytes, err: bytes, shown: Callable[[str], str] | None = None
    ) -> Result:
        # A command may print bytes that are no text, as openssl does with what a server sends.
        result = Result(command, code, out.decode(errors="replace"), err.decode(errors="replace"), self.name)
        output = result.output
        if self.discretion:
            output = shown(output) if shown else self.discretion.printed(command, output)
        record(self.name, command, f"exit {result.code}\n{output}")
        return result

    def docker(self, command: str, *, user: str | None = None) -> Result:
        """Run a docker command on the node: ``node.docker("service ls")``."""
        return self.run(f"docker {command}", user=user)

    def expect_reachable(self, port: int) -> None:  # noqa: B027 - in a lab every port can be reached
        """Check that the suite's machine can reach this TCP port of the node.

        Raises:
            Blocked: it cannot, so a request to the port would show nothing about the cluster.
        """

    def url(self, port: int, path: str = "/") -> str:
        """Return the URL of a *path* at a port of the node's address."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"http://{host}:{port}{path}"

    def get(self, port: int, path: str = "/", *, timeout: float = 5.0) -> Answer:
        """Send an HTTP GET from the suite's machine to the node's address, on a new connection.

        Args:
            port: TCP port.
            path: path of the URL.
            timeout: seconds to connect, and between two pieces of the answer, at reference speed.

        Example:
            assert node.get(8888).ok
        """
        return self.send("GET", port, path, timeout=timeout)

    def send(
        self,
        method: str,
        port: int,
        path: str = "/",
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 5.0,
    ) -> Answer:
        """Send an HTTP request of any method (see `get`). The evidence has neither its body nor the answer's.

        Args:
            method: HTTP method.
            port: TCP port.
            path: path of the URL.
            body: text, sent as it is, or an object, sent as JSON.
            form: fields of a form (multipart), in place of a body.
            headers: further headers.
            timeout: seconds to connect, and between two pieces of the answer, at reference speed.
        """
        url = self.url(port, path)
        sent: dict[str, Any] = {"headers": {"Connection": "close", **(headers or {})}}
        if form:
            sent["files"] = {name: (None, value) for name, value in form.items()}
        elif body is not None:
            sent["data" if isinstance(body, str) else "json"] = body.encode() if isinstance(body, str) else body
        start = time.monotonic()
        try:
            with requests.Session() as session:
                session.trust_env = False  # a proxy of the suite's machine is for the outside, not for nodes
                reply = session.request(method, url, timeout=scaled(timeout), **sent)
            body, taken = reply.content, time.monotonic() - start
            answer = Answer(reply.status_code, body, dict(reply.headers), "", taken, url, len(body))
        except requests.exceptions.RequestException as failed:
            answer = Answer(0, error=cause(failed), seconds=time.monotonic() - start, url=url)
        summary = f"{answer} after {answer.seconds:.2f} s; container {answer.container or 'none'}"
        record("suite", f"{method} {url}", summary)
        return answer

    def ask(self, method: str, path: str, *, body: Any = None, timeout: float = 60, **query: Any) -> Any:
        """Call the engine's HTTP API, in the version that docker-py negotiated, and return the answer.

        Specifications are sent as plain data: docker-py's own types fill in defaults that are not the engine's.

        Args:
            method: HTTP method.
            path: path without version, such as ``/services/create``.
            body: the request's body, sent as JSON.
            timeout: seconds to wait for the answer, not scaled; fewer `within` a deadline that ends sooner.
            query: parameters of the query; dictionaries, such as filters, are sent as JSON.

        Returns:
            The parsed answer if it is JSON, else its text.

        Raises:
            EngineRefused: the engine answered with an error.
            NoAnswer: the engine did not answer.

        Example:
            running = node.ask("GET", "/tasks", filters={"desired-state": ["running"]})

        Source:
            https://docs.docker.com/reference/api/engine/
        """
        if time.monotonic() - self._heard > LATELY:
            self.greet()
        api = self.engine.api
        query = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in query.items()}
        try:
            url = f"{api.base_url}/v{api.api_version}{path}"
            reply = api.request(method, url, json=body, params=query, timeout=deadline.left(timeout))
        except requests.exceptions.RequestException as silent:
            self._heard = -math.inf
            raise NoAnswer(f"the engine of {self.name} does not answer {method} {path}: {cause(silent)}") from silent
        self._heard, self._silent = time.monotonic(), False
        answer = reply.json() if reply.headers.get("Content-Type", "").startswith("application/json") else reply.text
        if reply.status_code >= 400:
            explanation = answer.get("message", "") if isinstance(answer, dict) else answer
            raise EngineRefused(self.name, reply.status_code, explanation)
        if self.lifelines and (method, path) == ("GET", "/tasks"):
            self.lifelines.note(self.name, answer)
        return answer

    def revise(self, path: str, change: Callable[[dict[str, Any]], None], **query: Any) -> None:
        """Change the specification of an object of the swarm.

        An update names the version of the object that was read. The manager refuses it if the object has changed since,
        and managers change objects themselves, for example when they allocate a service's addresses. After such a
        conflict the object is read and changed again.

        Args:
            path: path of the object, such as ``/services/ID``.
            change: alters the present specification in place; called again after a conflict.
            query: further parameters of the update.

        Raises:
            EngineRefused: the engine refused the update for another reason, or every try met a conflict.
            NoAnswer: the engine did not answer.
        """
        for left in reversed(range(REVISIONS)):
            now = self.ask("GET", path)
            spec = now["Spec"]
            change(spec)
            try:
                self.ask("POST", f"{path}/update", body=spec, version=now["Version"]["Index"], **query)
            except EngineRefused as refused:
                if OUT_OF_SEQUENCE not in refused.explanation or not left:
                    raise
            else:
                return

    def load(self, image: Path) -> str:
        """Load a saved image (``docker load``) and return its tag, or its id if it has none.

        Raises:
            EngineRefused: the file is not an image.
            NoAnswer: the engine did not answer.
        """
        api = self.engine.api
        url = f"{api.base_url}/v{api.api_version}/images/load"
        try:
            with image.open("rb") as data:
                reply = api.request("POST", url, data=data, params={"quiet": True}, timeout=scaled(600))
        except requests.exceptions.RequestException as silent:
            raise NoAnswer(f"the engine of {self.name} does not answer POST /images/load: {cause(silent)}") from silent
        lines = [json.loads(line) for line in reply.text.splitlines() if line.startswith("{")]
        for line in lines:
            if found := re.search(r"Loaded image(?: ID)?: (\S+)", line.get("stream", "")):
                return found[1]
        errors = [line.get("error") or line.get("message") for line in lines if "stream" not in line]
        explanation = errors[-1] if errors else ""
        explanation = explanation or f"{image.name} is not an image: {reply.text[:200]}"
        raise EngineRefused(self.name, reply.status_code, explanation)

    def pull(self, reference: str) -> None:
        """Let the engine pull an image as it does for a task: with no credentials, also if the image is there already.

        Args:
            reference: the image, with its tag.

        Raises:
            EngineRefused: it cannot; the error has the engine's words.
            NoAnswer: the engine did not answer.
        """
        name, _, tag = reference.rpartition(":")
        api = self.engine.api
        url = f"{api.base_url}/v{api.api_version}/images/create"
        try:
            reply = api.request("POST", url, params={"fromImage": name, "tag": tag}, timeout=scaled(120))
        except requests.exceptions.RequestException as silent:
            raise NoAnswer(
                f"the engine of {self.name} does not answer POST /images/create: {cause(silent)}"
            ) from silent
        lines = [json.loads(line) for line in reply.text.splitlines() if line.startswith("{")]
        errors = [line.get("error") or line.get("message") for line in lines if line.keys() & {"error", "message"}]
        if errors or not reply.ok:
            raise EngineRefused(self.name, reply.status_code, str(errors[-1]) if errors else reply.text[:200])

    def events(
        self, since: int, until: int, filters: Mapping[str, Sequence[str]] | None = None
    ) -> list[dict[str, Any]]:
        """Return the engine's events between two times.

        An engine remembers its last 256 events. Use `swarmlab.watching.events.Recorder` for more.

        Args:
            since: nanoseconds since 1970 by the engine's clock, included.
            until: nanoseconds since 1970 by the engine's clock, included.
            filters: filters of the API, such as ``{"type": ["service"]}``.

        Raises:
            LabError: the engine did not answer.
        """
        api = self.engine.api
        query = {name: f"{time // 10**9}.{time % 10**9:09}" for name, time in (("since", since), ("until", until))}
        if filters:
            query["filters"] = json.dumps(filters)
        try:
            # The answer is a line of JSON for each event. As a stream, its text does not go into the evidence.
            with api.get(f"{api.base_url}/v{api.api_version}/events", params=query, timeout=60, stream=True) as reply:
                return [json.loads(line) for line in reply.iter_lines() if line]
        except (requests.exceptions.RequestException, ValueError) as failed:
            raise LabError(f"the engine of {self.name} does not return its events: {failed}") from failed

    def info(self) -> dict[str, Any]:
        """Return the engine's ``docker info``."""
        answer: dict[str, Any] = self.ask("GET", "/info")
        return answer

    def data_root(self) -> str:
        """Return the folder of the engine's state; the default one where the engine has never answered."""
        if not self._data_root:
            try:
                self._data_root = str(self.info()["DockerRootDir"])
            except NoAnswer:
                return DATA_ROOT
        return self._data_root

    def swarm_state(self) -> str:
        """Return the engine's membership state: inactive, pending, active, locked or error."""
        state: str = self.info()["Swarm"]["LocalNodeState"]
        return state

    def swarm_error(self) -> str:
        """Return why the engine takes no part in its swarm, in its own words and on one line; empty if it does."""
        return " ".join(str(self.info()["Swarm"].get("Error") or "").split())

    def node_id(self) -> str:
        """Return the node's id in its swarm, empty if it is in none."""
        identity: str = self.info()["Swarm"]["NodeID"]
        return identity

    def serves_cluster(self) -> bool:
        """Whether the engine serves the cluster's API, as managers do."""
        if self._manages:
            try:
                # A small request that only managers answer: `info` takes longer than any other.
                self.ask("GET", "/nodes", filters={"id": ["-"]})
            except EngineRefused:  # it is a worker by now, or a manager without a leader
                pass
            else:
                return True
        # Every engine answers this one. A worker would refuse the other, and log the refusal as an error.
        self._manages = bool(self.info()["Swarm"]["ControlAvailable"])
        return self._manages

    def containers(self, *, all: bool = False, **filters: Any) -> list[dict[str, Any]]:
        """Return the running containers on this node, or *all*, as the engine lists them.

        Its short id stands for the name of one that has none, as it is being removed.

        Args:
            all: also list containers that do not run.
            filters: filters of the API, such as ``label="name=value"``; a list has several values.
        """
        wanted = {key: value if isinstance(value, list) else [value] for key, value in filters.items()}
        listed: list[dict[str, Any]] = self.ask("GET", "/containers/json", all=all, filters=wanted)
        return [one | {"Names": one["Names"] or [f"/{one['Id'][:12]}"]} for one in listed]

    def execute(self, container: str, command: str) -> Result:
        """Run a shell command inside a container of this node, with the outcome of ``docker exec``.

        The engine's API is asked as that command asks it. Use `docker` where a claim speaks of the command.

        Raises:
            Overdue: it is run `within` a deadline, and did not end in time. It is not ended.
        """
        line = f"docker exec {container} sh -c {shlex.quote(command)}"
        try:
            code, streams = self._execute(container, ["sh", "-c", command])
        except EngineRefused as refused:
            return self._result(line, 1, b"", f"Error response from daemon: {refused.explanation}".encode())
        except NoAnswer as silent:
            return self._result(line, 1, b"", str(silent).encode())
        except Overdue as late:
            record(self.name, line, str(late))
            raise
        return self._result(line, code, bytes(streams.out), bytes(streams.err or streams.rest))

    def _execute(self, container: str, command: Sequence[str]) -> tuple[int, Streams]:
        wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": command}
        identity = self.ask("POST", f"/containers/{container}/exec", body=wanted)["Id"]
        api, streams, start = self.engine.api, Streams(), time.monotonic()
        limit = deadline.left(math.inf)
        most = None if limit == math.inf else limit
        try:
            with api.request(
                "POST",
                f"{api.base_url}/v{api.api_version}/exec/{identity}/start",
                json={"Detach": False, "Tty": False},
                stream=True,
                timeout=(deadline.left(60), most),
            ) as reply:
                if reply.status_code >= 400:  # the container has no shell, or has just ended
                    streams.rest = reply.content
                    return 126, streams
                while block := reply.raw.read1(2**16):
                    streams.add(block)
                    if time.monotonic() - start > limit:
                        raise TimeoutError
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, TimeoutError) as failed:
            if most is not None and time.monotonic() - start >= most:
                printed = streams.out.decode(errors="replace")
                raise Overdue(f"a command in a container of {self.name} did not end in time", printed) from failed
            raise NoAnswer(f"the engine of {self.name} does not answer any more: {cause(failed)}") from failed
        code = self.ask("GET", f"/exec/{identity}/json")["ExitCode"]
        if code is None:
            raise NoAnswer(f"the engine of {self.name} does not say how a command ended")
        return int(code), streams

    def addresses(self) -> set[str]:
        """Return all IPv4 addresses of the machine's interfaces, loopback included.

        Raises:
            LabError: the machine does not tell.
        """
        listed = self.look("ip -4 -oneline address show").expect()
        return {line.split()[3].split("/")[0] for line in listed.splitlines()}

    def listening(self, port: int) -> set[str]:
        """Return the local addresses on which something listens on this TCP port; ``*`` stands for all.

        Raises:
            LabError: the machine does not tell.
        """
        # With a header, which old releases of ss do not leave out.
        rows = [line.split() for line in self.look(f"ss -lnt sport = :{port}").expect().splitlines()]
        return {row[3].rpartition(":")[0].split("%")[0].strip("[]") for row in rows if row and row[0] == "LISTEN"}

    def ipvs(self, container: str = "") -> str:
        """Return the IPVS table of the routing mesh on this node, or of a *container* here."""
        if container:
            try:
                process = self.ask("GET", f"/containers/{container}/json")["State"]["Pid"]
            except EngineRefused as refused:
                return str(refused)
            return self.look(f"nsenter --net --target {process} ipvsadm -Ln").output
        return self.look(_MESH_TABLE).output

    def clock(self) -> Clock:
        """Return the engine's clock, compared to the clock of the suite's machine."""
        before = time.time()
        theirs = self.info()["SystemTime"]
        after = time.time()
        return Clock(seconds_of(theirs) - (before + after) / 2, (after - before) / 2)

    def facts(self) -> dict[str, str]:
        """Return name, address, versions of engine and API, system, kernel, firewall and clock, for the report."""
        version = self.ask("GET", "/version")
        firewall = self.look("iptables --version").out.strip()
        system = self.look('. /etc/os-release && echo "$PRETTY_NAME"').out.strip()
        return {
            "name": self.name,
            "address": self.address,
            "engine": version["Version"],
            "api": version["ApiVersion"],
            "system": system,
            "kernel": version["KernelVersion"],
            "firewall": firewall,
            "clock": str(self.clock()),
        }

    # Hurting and mending

    @abstractmethod
    def stop(self) -> None:
        """Shut the machine down; its engine ends in order."""

    @abstractmethod
    def start(self) -> None:
        """Switch the machine on and wait until its engine answers."""

    @abstractmethod
    def kill(self) -> None:
        """Switch the machine's power off."""

    @abstractmethod
    def freeze(self) -> None:
        """Halt every process of the machine without ending any."""

    @abstractmethod
    def thaw(self) -> None:
        """Continue the processes of a frozen machine."""

    def stop_engine(self) -> None:
        """Stop the engine in order; where the node has no system of its own, that is the machine."""
        self.stop()

    def start_engine(self) -> None:
        """Start the engine after `stop_engine`, and wait until it answers.

        Raises:
            LabError: it does not answer.
        """
        self.start()

    def take(self, folder: str) -> bytes:
        """Return a folder of the machine's disk while its engine is stopped, as a tar archive of that folder.

        Raises:
            Blocked: the lab cannot read the disk.
            LabError: the folder cannot be read.
        """
        raise Blocked(f"lab cannot read {folder} of a node whose engine is stopped")

    def put(self, folder: str, archive: bytes) -> None:
        """Unpack a tar archive into a folder of the machine's disk while its engine is stopped.

        Raises:
            Blocked: the lab cannot write to the disk.
            LabError: the folder cannot be written.
        """
        raise Blocked(f"lab cannot write {len(archive)} bytes to {folder} of a node whose engine is stopped")

    def reboot(self) -> None:
        """Restart the machine's operating system.

        Raises:
            Blocked: the lab's nodes are not machines that boot.
        """
        raise Blocked("lab cannot reboot a node")

    def cut(self, addresses: Iterable[str], *, one_way: bool = False) -> None:
        """Drop all packets from *addresses*, and unless *one_way* also those to them, until `heal`."""
        for address in addresses:
            self._drop(f"ip saddr {address}", None if one_way else f"ip daddr {address}")

    def cut_port(self, protocol: str, port: int, *, outgoing: bool = False) -> None:
        """Drop incoming packets to a port, and if *outgoing* also outgoing ones, until `heal`.

        Args:
            protocol: tcp or udp.
            port: the destination port.
            outgoing: also drop packets that the node sends to this port of others.
        """
        rule = f"{protocol} dport {port}"
        self._drop(rule, rule if outgoing else None)

    def heal(self) -> None:
        """Remove the rules of every `cut` and `cut_port`.

        Raises:
            LabError: the rules are still there.
        """
        self.run(f"nft delete table ip {_FAULT_TABLE}")
        if self.run(f"nft list table ip {_FAULT_TABLE}").ok:
            raise LabError(f"{self.name} could not be healed: its nft table {_FAULT_TABLE} is still there")

    def _drop(self, incoming: str, outgoing: str | None) -> None:
        # A separate table, whose chains come before the engine's, is healed by deleting it. The chains are not called
        # "in" or "out", which some releases of nft take for keywords.
        table = f"ip {_FAULT_TABLE}"
        rules = [f"add table {table}"]
        for chain, hook, match in (("incoming", "prerouting", incoming), ("outgoing", "output", outgoing)):
            if match:
                rules.append(f"add chain {table} {chain} {{ type filter hook {hook} priority -350; }}")
                rules.append(f"add rule {table} {chain} {match} drop")
        self.run(f"nft {shlex.quote('; '.join(rules))}").expect(f"cutting {self.name} off with nft")

    # Diagnosis

    def log(self) -> str:
        """Return the end of the engine's log."""
        return self.run(self._log_command()).out

    def questions(self) -> dict[str, str]:
        """Return the commands that show the state of the node, each by the name of what it shows."""
        return {
            "addresses": "ip -brief address; ip route",
            "firewall (iptables)": "iptables-save -c",
            "firewall (nftables)": "nft list ruleset",
            "IPVS in the ingress namespace": _MESH_TABLE,
            "sockets": "ss -lntu",
            "engine log": self._log_command(),
        }

    def diagnosis(self) -> dict[str, str]:
        """Return firewall, addresses, routes, IPVS tables, sockets and engine log of the node, each by its name."""
        commands = self.questions()
        found = {name: self.look(command).output for name, command in commands.items()}
        if self.discretion:
            found = {name: self.discretion.printed(commands[name], text) for name, text in found.items()}
        return found

    @abstractmethod
    def _log_command(self) -> str:
        """Return the shell command that prints the end of the engine's log."""


def _reached(host: Host) -> bool:
    try:
        return bool(deadline.run(host, "true").rc == 0)
    except (RuntimeError, Overdue):
        return False


def at_once(nodes: Iterable[Node]) -> int:
    """Return on how many of these nodes `parallel` may work at the same time."""
    return ELSEWHERE if all(node.own_processors for node in nodes) else HERE


def on_each(action: Callable[[Any], T], nodes: Collection[Node]) -> list[T]:
    """Call *action* with each node, with as many at the same time as `at_once` allows; see `parallel`."""
    return parallel(action, nodes, at_once=at_once(nodes))


def nodes_where(holds: Callable[[Any], object], nodes: Collection[Node]) -> list[Node]:
    """Return those of *nodes* for which something *holds*, in their order; see `on_each`.

    Example:
        `nodes_where(lambda node: node.run("test -e /data").ok, cluster.nodes)`
    """
    return [node for node, held in zip(nodes, on_each(holds, nodes), strict=True) if held]


def oldest(nodes: Sequence[Node]) -> Node:
    """Return the first of the nodes whose engine knows no newer API than all others: what it knows, they know too."""
    known = on_each(lambda node: parsed(node.ask("GET", "/version")["ApiVersion"]), nodes)
    return nodes[known.index(min(known))]


def facts_of(node: Node) -> dict[str, str]:
    """Return `Node.facts`; if the engine does not answer, return the node's name, address and the error."""
    try:
        return node.facts()
    except (SwarmlabError, docker.errors.DockerException) as failed:
        return {"name": node.name, "address": node.address, "engine": f"does not answer: {failed}"}


def look_for(node: Node) -> dict[str, Callable[..., str]]:
    """Return a function for each feature that must be tried on a node, by the feature's name, for `Offers.look`.

    Each function tries the feature on *node* once, keeps the result, and returns why the feature is missing; empty if
    it is there. Those of api and compose take the lowest version that is needed.
    """
    # A feature is tried in a network namespace that is thrown away: what works there works for the engine.
    esp = "src 127.0.0.1 dst 127.0.0.2 proto esp spi 1 mode transport"
    keys = f"auth 'hmac(sha1)' 0x{'11' * 20} enc 'cbc(aes)' 0x{'22' * 16}"
    attempts = {
        # The engine loads the module if it can. Not every machine has ipvsadm.
        "ipvs": "unshare -n ipvsadm -A -t 127.0.0.1:1 -s rr || test -e /proc/net/ip_vs",
        "encryption": f"unshare -n ip xfrm state add {esp} {keys}",
        "internet": "curl -sI --max-time 5 http://deb.debian.org/",
        # The command line shows the options of a builder that it and its engine have, and those of no other.
        "buildkit": "DOCKER_BUILDKIT=1 docker build --help | grep -q -e --progress",
    }

    def attempt(feature: str) -> str:
        return "" if node.look(attempts[feature]).ok else FEATURES[feature]

    def api(lowest: str) -> str:
        known = node.ask("GET", "/version")["ApiVersion"]
        return "" if parsed(known) >= parsed(lowest) else f"the node's engine knows API {known}, needed is {lowest}"

    def compose(lowest: str) -> str:
        # The command line reads the file before it asks an engine, and finds none here, so that nothing is deployed.
        deploy = "DOCKER_HOST=tcp://127.0.0.1:1 docker stack deploy -c /dev/stdin none"
        asked = node.look(f"printf 'version: \"{lowest}\"\\nservices: {{}}\\n' | {deploy}")
        refused = "unsupported Compose file version" in asked.output
        return f"the node's command line takes no compose file of version {lowest}" if refused else ""

    features = {feature: functools.cache(functools.partial(attempt, feature)) for feature in attempts}
    return {**features, "api": functools.cache(api), "compose": functools.cache(compose)}


def cause(failed: Exception) -> str:
    """Return the cause in a library's long message, such as "timed out"; the whole message if it has no known cause."""
    text = str(failed)
    for known in ("timed out", "Connection refused", "Connection reset", "No route to host", "closed connection"):
        if known in text:
            return known
    return "its socket is gone" if "FileNotFoundError" in text else text


def unsent(failed: NoAnswer) -> bool:
    """Whether no engine can have got the request that failed: nothing listened at the socket."""
    known = failed.__cause__
    return isinstance(known, Exception) and cause(known) in ("Connection refused", "its socket is gone")
