"""A node: one machine of a cluster, asked through its shell, its engine and its network."""

from __future__ import annotations

import functools
import json
import math
import re
import shlex
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import requests
from testinfra.host import Host

from swarmlab.cluster.clocks import Clock, seconds_of
from swarmlab.errors import Blocked, EngineRefused, LabError, NoAnswer, SwarmlabError
from swarmlab.evidence import provisional, record
from swarmlab.needs import FEATURES
from swarmlab.wait import scaled

if TYPE_CHECKING:
    from swarmlab.cluster.lifelines import Lifelines

#: The ports of a swarm: cluster management, gossip between nodes, overlay data path.
MANAGEMENT_PORT = 2377
GOSSIP_PORT = 7946
DATA_PORT = 4789

#: What a manager says where an object was written between one's reading and one's writing it, and how often one may
#: meet that in turn before it is no coincidence.
OUT_OF_SEQUENCE, REVISIONS = "update out of sequence", 10

_FAULT_TABLE = "swarmlab_fault"
#: Seconds within which an engine answers a greeting; by the clock, one that starts without a leader takes over 20.
_GREETING = 25.0
#: Seconds after which an engine that has said nothing is greeted before it is asked.
_LATELY = 30.0
_MESH_TABLE = "nsenter --net=/run/docker/netns/ingress_sbox ipvsadm -Ln"


@dataclass(frozen=True)
class Result:
    """What a command on a node gave: exit code, standard output and standard error."""

    command: str
    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Whether the command ended with exit code 0."""
        return self.code == 0

    @property
    def said(self) -> str:
        """Both outputs as one text, for messages."""
        return "\n".join(text for text in (self.out.strip(), self.err.strip()) if text)


@dataclass(frozen=True)
class Answer:
    """What a request over HTTP gave.

    Attributes:
        status: the HTTP status, 0 where no answer came.
        body: the answer's body.
        headers: the answer's headers.
        error: why no answer came, empty where one did.
        seconds: how long it took.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether the answer is a success (2xx)."""
        return 200 <= self.status < 300

    @property
    def container(self) -> str:
        """Host name of the container that answered, as the lab's web server tells it."""
        return self.headers.get("X-Server", "")

    def __str__(self) -> str:
        return self.error or f"HTTP {self.status}, {len(self.body)} bytes"


class Node(ABC):
    """One machine. Labs subclass it with what switches their machines on and off.

    Attributes:
        name: host name, by which the document speaks of it.
        address: IPv4 address on the cluster network.
        host: testinfra's view of the machine, as root.
        root: commands have root's rights there.
        lifelines: where what its engine tells of tasks is noted; None where nobody follows them.
    """

    lifelines: Lifelines | None = None
    root = True

    def __init__(self, name: str, address: str, host: Host, engine_url: str) -> None:
        self.name = name
        self.address = address
        self.host = host
        self._engine_url = engine_url
        self._heard = -math.inf  # when the engine answered last, by the monotonic clock
        self._silent = False

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} {self.address}>"

    # Asking

    @functools.cached_property
    def engine(self) -> docker.DockerClient:
        """docker-py's client of the node's engine; all that it asks and is told goes into the evidence.

        Raises:
            NoAnswer: the engine does not answer.
        """
        try:
            client = docker.DockerClient(base_url=self._engine_url, version="auto", timeout=int(self._patience))
        except docker.errors.DockerException as failed:
            self._silent = True
            raise NoAnswer(f"the engine of {self.name} does not answer: {cause(failed)}") from failed
        client.api.timeout = 60
        client.api.trust_env = False  # no node is behind a proxy, and looking for one costs more than asking
        client.api.hooks["response"].append(self._note)
        self._heard, self._silent = time.monotonic(), False
        return client

    def forget(self) -> None:
        """Forget what was agreed on with the engine: another one has taken its place."""
        if client := self.__dict__.pop("engine", None):
            client.close()
        self._heard = -math.inf

    @property
    def _patience(self) -> float:
        """Seconds to wait for an engine that may be silent; few where it was so the last time."""
        return scaled(3) if self._silent else _GREETING + scaled(5)

    def greet(self) -> None:
        """Find out whether the engine answers at all.

        A frozen machine takes every question, and is silent for as long as one waits for the answer. A greeting is
        answered at once whatever the engine and its swarm are busy with, so that there is less to wait for.

        Raises:
            NoAnswer: it does not.
        """
        api = self.engine.api
        try:
            with provisional():  # it tells nothing, so it is not noted
                api.request("GET", f"{api.base_url}/_ping", timeout=int(self._patience))
        except requests.exceptions.RequestException as silent:
            self._silent = True
            record(self.name, "GET /_ping", f"no answer: {cause(silent)}")
            raise NoAnswer(f"the engine of {self.name} does not answer: {cause(silent)}") from silent
        self._heard, self._silent = time.monotonic(), False

    def client(self) -> docker.DockerClient:
        """A client of the engine beside the test: on connections of its own, with no note in the evidence.

        It is for one thread only, and gives up after two seconds at reference speed.
        """
        return docker.DockerClient(base_url=self._engine_url, version="auto", timeout=math.ceil(scaled(2)))

    def _note(self, response: requests.Response, **how: Any) -> None:
        stream = how.get("stream")
        answer = "(a stream)" if stream else response.text
        if response.ok and response.request.path_url.endswith("/info"):
            # What is asked most often, and of its pages only this part matters to a swarm.
            answer = json.dumps({key: response.json()[key] for key in ("Name", "ServerVersion", "SystemTime", "Swarm")})
        asked = f"{response.request.method} {response.request.path_url}"
        if response.request.body and not stream:
            asked += f" {response.request.body!r}"
        record(self.name, asked, f"{response.status_code} {answer}")

    def run(self, command: str, *, user: str | None = None) -> Result:
        """Run a shell command on the node, as root or as *user* with that user's login groups."""
        line = f"su - {user} -c {shlex.quote(command)}" if user else command
        return self._run(self.host, line, command)

    def look(self, command: str) -> Result:
        """`run` for a command that tells something whoever asks, also where the suite has no root's rights."""
        return self.run(command)

    def _run(self, host: Host, line: str, command: str = "") -> Result:
        command = command or line
        try:
            done = host.run(line)
        except RuntimeError as unreachable:  # testinfra's word for a connection that is not to be had
            done = unreachable.args[0] if unreachable.args else None
            # A command may have ended with ssh's own exit code, as one does that is an ssh.
            if getattr(done, "rc", None) != 255 or not _reached(host):
                raise LabError(f"{self.name} cannot be reached: {str(unreachable)[-200:]}") from unreachable
        result = Result(command, done.rc, done.stdout, done.stderr)
        record(self.name, command, f"exit {result.code}\n{result.said}")
        return result

    def docker(self, words: str, *, user: str | None = None) -> Result:
        """Run the docker command line on the node: ``node.docker("service ls")``."""
        return self.run(f"docker {words}", user=user)

    def expect_way(self, port: int) -> None:  # noqa: B027 - where it is not overridden there is a way
        """See that this TCP port of nodes can be reached from where the suite runs, as it can in a lab.

        Raises:
            Blocked: it cannot, so nothing that is asked there tells anything.
        """

    def get(self, port: int, path: str = "/", *, timeout: float = 5.0) -> Answer:
        """Ask the node's address over HTTP from where the suite runs, on a connection of its own.

        Args:
            port: TCP port.
            path: path of the URL.
            timeout: seconds for the connection and for each piece of the answer, at reference speed.
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
        """`get` with any method, and what is sent: neither that nor the answer's body goes into the evidence.

        Args:
            method: HTTP method.
            port: TCP port.
            path: path of the URL.
            body: text that is sent as it is, or anything else, as JSON.
            form: fields that are sent as a form (multipart) instead.
            headers: further headers.
            timeout: seconds for the connection and for each piece of the answer, at reference speed.
        """
        url = f"http://{self.address}:{port}{path}"
        sent: dict[str, Any] = {"headers": {"Connection": "close", **(headers or {})}}
        if form:
            sent["files"] = {name: (None, value) for name, value in form.items()}
        elif body is not None:
            sent["data" if isinstance(body, str) else "json"] = body.encode() if isinstance(body, str) else body
        start = time.monotonic()
        try:
            reply = requests.request(method, url, timeout=scaled(timeout), **sent)
            answer = Answer(reply.status_code, reply.content, dict(reply.headers), seconds=time.monotonic() - start)
        except requests.exceptions.RequestException as failed:
            answer = Answer(0, error=cause(failed), seconds=time.monotonic() - start)
        told = f"{answer} after {answer.seconds:.2f} s; container {answer.container or 'none'}"
        record("suite", f"{method} {url}", told)
        return answer

    def ask(self, method: str, path: str, *, body: Any = None, timeout: float = 60, **query: Any) -> Any:
        """One call of the engine's HTTP API, in the version that docker-py agreed on with it.

        Specifications go as plain data: docker-py's own types fill in defaults that are not the engine's.

        Args:
            method: HTTP method.
            path: path without version, such as ``/services/create``.
            body: what is sent as JSON.
            timeout: seconds by the clock after which it counts as no answer.
            query: parameters; dictionaries (filters) are sent as JSON.

        Raises:
            EngineRefused: the engine answered with an error.
            NoAnswer: the engine did not answer.
        """
        if time.monotonic() - self._heard > _LATELY:
            self.greet()
        api = self.engine.api
        query = {key: json.dumps(value) if isinstance(value, dict) else value for key, value in query.items()}
        try:
            url = f"{api.base_url}/v{api.api_version}{path}"
            reply = api.request(method, url, json=body, params=query, timeout=timeout)
        except requests.exceptions.RequestException as silent:
            self._heard = -math.inf
            raise NoAnswer(f"the engine of {self.name} does not answer {method} {path}: {cause(silent)}") from silent
        self._heard, self._silent = time.monotonic(), False
        answer = reply.json() if reply.headers.get("Content-Type", "").startswith("application/json") else reply.text
        if reply.status_code >= 400:
            words = answer.get("message", "") if isinstance(answer, dict) else answer
            raise EngineRefused(self.name, reply.status_code, words)
        if self.lifelines and (method, path) == ("GET", "/tasks"):
            self.lifelines.note(self.name, answer)
        return answer

    def revise(self, path: str, change: Callable[[dict[str, Any]], None], **query: Any) -> None:
        """Change an object of the swarm: *change* is given its present specification, and alters it in place.

        A specification goes with the version that was read, and is refused where the object was written since: managers
        do that themselves, as when a service's addresses are allotted or its update ends. Then all is done anew.

        Args:
            path: of the object, such as ``/services/ID``.
            change: may be called several times, each time with what was read just then.
            query: further parameters of the update.

        Raises:
            EngineRefused: the engine refused it for another reason, or each time.
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
        """Load a saved image (``docker load``); gives its tag, or its id where it has none.

        Raises:
            EngineRefused: the engine takes the file for no image.
            NoAnswer: the engine did not answer.
        """
        api = self.engine.api
        url = f"{api.base_url}/v{api.api_version}/images/load"
        try:
            with image.open("rb") as data:
                reply = api.request("POST", url, data=data, params={"quiet": True}, timeout=scaled(600))
        except requests.exceptions.RequestException as silent:
            raise NoAnswer(f"the engine of {self.name} does not answer POST /images/load: {cause(silent)}") from silent
        told = [json.loads(line) for line in reply.text.splitlines() if line.startswith("{")]
        for line in told:
            if found := re.search(r"Loaded image(?: ID)?: (\S+)", line.get("stream", "")):
                return found[1]
        words = next((line.get("error") or line.get("message") for line in reversed(told) if "stream" not in line), "")
        raise EngineRefused(self.name, reply.status_code, words or f"{image.name} is no image: {reply.text[:200]}")

    def events(self, since: int, until: int) -> list[dict[str, Any]]:
        """What happened on the engine between two times of its own clock, in nanoseconds, both included.

        An engine remembers some 250 events (see `swarmlab.watching.events` for more than that).

        Raises:
            LabError: the engine did not answer.
        """
        api = self.engine.api
        query = {name: f"{time // 10**9}.{time % 10**9:09}" for name, time in (("since", since), ("until", until))}
        try:
            # One after the other, so no JSON as a whole; as a stream it is not noted, but for how many there were.
            with api.get(f"{api.base_url}/v{api.api_version}/events", params=query, timeout=60, stream=True) as reply:
                told = [json.loads(line) for line in reply.iter_lines() if line]
        except (requests.exceptions.RequestException, ValueError) as failed:
            raise LabError(f"the engine of {self.name} does not tell its events: {failed}") from failed
        return told

    def info(self) -> dict[str, Any]:
        """The engine's own account of itself (``docker info``)."""
        answer: dict[str, Any] = self.ask("GET", "/info")
        return answer

    def swarm_state(self) -> str:
        """What the engine says of its membership: inactive, pending, active, locked or error."""
        state: str = self.info()["Swarm"]["LocalNodeState"]
        return state

    def node_id(self) -> str:
        """The node's id in its swarm, empty outside one."""
        identity: str = self.info()["Swarm"]["NodeID"]
        return identity

    def serves_cluster(self) -> bool:
        """Whether the engine serves the cluster's API: it is a manager's."""
        try:
            # Any small question for managers: `info` looks at so much that it takes longer than all else that is asked.
            self.ask("GET", "/nodes", filters={"id": ["-"]})
        except EngineRefused:  # a worker, or a manager without a leader
            serves: bool = self.info()["Swarm"]["ControlAvailable"]
            return serves
        return True

    def containers(self, *, all: bool = False, **filters: Any) -> list[dict[str, Any]]:
        """The containers on this node, as the engine lists them; *filters* as the engine takes them."""
        wanted = {key: value if isinstance(value, list) else [value] for key, value in filters.items()}
        listed: list[dict[str, Any]] = self.ask("GET", "/containers/json", all=all, filters=wanted)
        return listed

    def execute(self, container: str, command: str) -> Result:
        """Run a shell command inside a container of this node."""
        return self.run(f"docker exec {container} sh -c {shlex.quote(command)}")

    def addresses(self) -> set[str]:
        """All IPv4 addresses of the machine's interfaces, loopback included."""
        listed = self.look("ip -4 -oneline address show").out
        return {line.split()[3].split("/")[0] for line in listed.splitlines()}

    def listening(self, port: int) -> set[str]:
        """The local addresses on which something listens on this TCP port; * stands for all of them."""
        listed = self.look(f"ss -Hlnt sport = :{port}").out
        return {line.split()[3].rpartition(":")[0].split("%")[0].strip("[]") for line in listed.splitlines()}

    def ipvs(self, container: str = "") -> str:
        """How connections are shared out: the IPVS table of the routing mesh on this node, or of a container here."""
        if container:
            process = f"docker inspect --format '{{{{ .State.Pid }}}}' {container}"
            return self.look(f"nsenter --net --target $({process}) ipvsadm -Ln").said
        return self.look(_MESH_TABLE).said

    def clock(self) -> Clock:
        """The clock that the engine goes by, compared to that of the machine where the suite runs."""
        before = time.time()
        told = self.info()["SystemTime"]
        after = time.time()
        return Clock(seconds_of(told) - (before + after) / 2, (after - before) / 2)

    def facts(self) -> dict[str, str]:
        """Name, address, engine version, kernel, firewall backend and clock, for the report."""
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
        """Shut the machine down in order: its engine is told to end first."""

    @abstractmethod
    def start(self) -> None:
        """Switch the machine on and wait until its engine answers."""

    @abstractmethod
    def kill(self) -> None:
        """Take the power away: nothing on the machine is told."""

    @abstractmethod
    def freeze(self) -> None:
        """Halt every process without ending any: the machine is there, and does nothing."""

    @abstractmethod
    def thaw(self) -> None:
        """Let a frozen machine run on."""

    def take(self, folder: str) -> bytes:
        """The files of a folder of the machine's disk while it is off, as a tar archive that begins with its name.

        Raises:
            Blocked: the lab cannot read its disks.
        """
        raise Blocked(f"lab cannot read {folder} of a node that is off")

    def put(self, folder: str, archive: bytes) -> None:
        """Unpack a tar archive into a folder of the machine's disk while it is off.

        Raises:
            Blocked: the lab cannot write its disks.
        """
        raise Blocked(f"lab cannot write {len(archive)} bytes to {folder} of a node that is off")

    def reboot(self) -> None:
        """Restart the machine's operating system.

        Raises:
            Blocked: the lab's nodes have no operating system of their own.
        """
        raise Blocked("lab cannot reboot a node")

    def cut(self, addresses: Iterable[str], *, one_way: bool = False) -> None:
        """Drop all packets from *addresses*, and to them as well unless *one_way*, until `heal`."""
        for address in addresses:
            self._drop(f"ip saddr {address}", None if one_way else f"ip daddr {address}")

    def cut_port(self, protocol: str, port: int, *, outgoing: bool = False) -> None:
        """Drop what comes in for one port (*protocol* is tcp or udp), if wanted also what goes out, until `heal`."""
        rule = f"{protocol} dport {port}"
        self._drop(rule, rule if outgoing else None)

    def heal(self) -> None:
        """Take every cut away again.

        Raises:
            LabError: a cut is still there.
        """
        self.run(f"nft delete table ip {_FAULT_TABLE}")
        if self.run(f"nft list table ip {_FAULT_TABLE}").ok:
            raise LabError(f"{self.name} could not be healed: table {_FAULT_TABLE} is still there")

    def _drop(self, incoming: str, outgoing: str | None) -> None:
        # A table of its own, before every chain of the engine's, so that healing is removing it.
        # No chain is called "in" or "last": some releases of nft take such words for their own.
        table = f"ip {_FAULT_TABLE}"
        rules = [f"add table {table}"]
        for chain, hook, match in (("incoming", "prerouting", incoming), ("outgoing", "output", outgoing)):
            if match:
                rules.append(f"add chain {table} {chain} {{ type filter hook {hook} priority -350; }}")
                rules.append(f"add rule {table} {chain} {match} drop")
        done = self.run(f"nft {shlex.quote('; '.join(rules))}")
        if not done.ok:
            raise LabError(f"{self.name} could not be cut: {done.said}")

    # What is collected when something went wrong

    def log(self) -> str:
        """The end of the engine's log."""
        return self.run(self._log_command()).out

    def diagnosis(self) -> dict[str, str]:
        """Firewall, addresses, routes, IPVS tables and engine log of the node, each under its name."""
        questions = {
            "addresses": "ip -brief address; ip route",
            "firewall (iptables)": "iptables-save -c",
            "firewall (nftables)": "nft list ruleset",
            "IPVS in the ingress namespace": _MESH_TABLE,
            "sockets": "ss -lntu",
            "engine log": self._log_command(),
        }
        return {name: self.look(command).said for name, command in questions.items()}

    @abstractmethod
    def _log_command(self) -> str:
        """The shell command that prints the end of the engine's log."""


def _reached(host: Host) -> bool:
    try:
        return bool(host.run("true").rc == 0)
    except RuntimeError:
        return False


def facts_of(node: Node) -> dict[str, str]:
    """`Node.facts`, also of a node that is dead, which is a fact of a lab that stands."""
    try:
        return node.facts()
    except (SwarmlabError, docker.errors.DockerException) as failed:
        return {"name": node.name, "address": node.address, "engine": f"does not answer: {failed}"}


def look_for(node: Node) -> dict[str, Callable[[], str]]:
    """What `Offers.look` takes: features of a lab of machines like *node*, each tried there when first asked about."""
    # Each is tried in a throw-away network namespace: what can be made there the engine can make too.
    esp = "src 127.0.0.1 dst 127.0.0.2 proto esp spi 1 mode transport"
    keys = f"auth 'hmac(sha1)' 0x{'11' * 20} enc 'cbc(aes)' 0x{'22' * 16}"
    attempts = {
        # The engine has loaded it where it could; the program that lists it is not on every machine.
        "ipvs": "unshare -n ipvsadm -A -t 127.0.0.1:1 -s rr || test -e /proc/net/ip_vs",
        "encryption": f"unshare -n ip xfrm state add {esp} {keys}",
        "internet": "curl -sI --max-time 5 http://deb.debian.org/",
    }

    def attempt(feature: str) -> str:
        return "" if node.look(attempts[feature]).ok else FEATURES[feature]

    return {feature: functools.cache(functools.partial(attempt, feature)) for feature in attempts}


def cause(failed: Exception) -> str:
    """The innermost words of a chain of library errors: "timed out", "Connection refused"."""
    text = str(failed)
    for known in ("timed out", "Connection refused", "Connection reset", "No route to host", "closed connection"):
        if known in text:
            return known
    return text
