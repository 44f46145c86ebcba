"""Reads what nodes hold of the swarm's work: containers, images, tables of networks, and what registries have.

The engines are asked, by GET requests, and a registry by the nodes' engines, each within a few seconds. Where that does
not answer, the nodes' shells try the way to it.
"""

from __future__ import annotations

import contextlib
import functools
import re
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

from swarmlab.cluster import deadline
from swarmlab.cluster.node import Node
from swarmlab.cluster.quotes import said
from swarmlab.errors import DeadlineExceeded, EngineRefused, NoAnswer, SwarmlabError
from swarmlab.parallel import parallel
from swarmlab.preflight import content, holdings, services
from swarmlab.preflight.model import LACKS, LIMITED, LOGIN, THERE, UNREACHED, NodeView, Pull, Sight
from swarmlab.preflight.networks import pools_of
from swarmlab.preflight.packets import HAS_LIMITS
from swarmlab.wait import State, scaled, wait

#: Where the engine finds images whose reference names no registry.
_HUB = "registry-1.docker.io"
#: Seconds in which an engine has to answer what a registry has.
_PATIENCE = 8.0
#: Seconds that are kept of the look's time to try the way to a registry that did not answer in its.
_TRY = 4.0
#: Seconds for which managers and nodes are read again where they tell different things: one may just have changed.
_SETTLING = 6.0
#: The registry counts who asks, and has had too many questions.
_OF_NUMBERS = re.compile(r"toomanyrequests|too many requests|rate limit|status( code)?:? 429\b", re.IGNORECASE)
#: The engine did not come to ask the registry.
_OF_THE_WAY = re.compile(r"dial (tcp|udp)|lookup \S+|no such host|server misbehaving|x509:|tls:", re.IGNORECASE)
_OF_LACKING = re.compile(r"manifest unknown|not found|no such|name unknown|does not exist", re.IGNORECASE)
_OF_LATENESS = re.compile(r"time(d )?out|deadline|cancell?ed", re.IGNORECASE)
_OF_LOGIN = re.compile(r"unauthori[sz]ed|denied|forbidden|authentication|no basic auth|credential", re.IGNORECASE)


def contents(node: Node, view: NodeView) -> None:
    """Read the networks, containers and images of a node."""
    with contextlib.suppress(SwarmlabError):
        view.networks = [_whole(node, network) for network in node.ask("GET", "/networks")]
    with contextlib.suppress(SwarmlabError):
        view.containers = node.ask("GET", "/containers/json", all=True)
    with contextlib.suppress(SwarmlabError):
        view.images = node.ask("GET", "/images/json")


def _whole(node: Node, network: dict[str, Any]) -> dict[str, Any]:
    """Return a network as its node has it, where the node's list lacks its subnet."""
    if network.get("Driver") == "overlay" and not pools_of(network):
        with contextlib.suppress(SwarmlabError):
            whole: dict[str, Any] = node.ask("GET", f"/networks/{network['Id']}")
            return whole
    return network


def deepen(sight: Sight, nodes: Mapping[str, Node], *, registries: bool = True) -> None:
    """Read what depends on what the managers and the nodes told: tables of networks, and registries.

    Args:
        sight: what was read so far.
        nodes: the nodes by host name.
        registries: whether to ask registries.
    """
    if not sight.asked:
        return
    active = [view for view in sight.nodes if view.active]
    wishes = [
        functools.partial(_ask_registry, nodes[view.name], view, reference)
        for view, reference in (content.questions(sight) if registries else [])
    ]
    looks = [functools.partial(_health, nodes[view.name], view, *which) for view, *which in services.ended(sight)]
    parallel(lambda action: action(), [functools.partial(_settle, sight, nodes, active), *wishes, *looks])


def _health(node: Node, view: NodeView, identity: str, service: str) -> None:
    with contextlib.suppress(SwarmlabError):
        state = node.ask("GET", f"/containers/{identity}/json").get("State") or {}
        view.health[identity] = str((state.get("Health") or {}).get("Status") or "")
        if state.get("OOMKilled"):
            view.starved.add(service)


def _settle(sight: Sight, nodes: Mapping[str, Node], active: list[NodeView]) -> None:
    """Read tables, and read all again while managers and nodes tell different things."""
    if services.bare(sight):
        with contextlib.suppress(SwarmlabError):
            _work_again(sight, nodes[sight.asked])
    parallel(lambda view: _tables(sight, nodes[view.name], view), active)
    sight.lasting = frozenset(holdings.differences(sight))

    def agreed() -> State:
        _again(sight, nodes, active)
        sight.lasting = (sight.lasting or frozenset()) & frozenset(holdings.differences(sight))
        return State(not sight.lasting, f"{len(sight.lasting)} differences")

    if sight.lasting:
        with contextlib.suppress(DeadlineExceeded, SwarmlabError):
            wait(agreed, "managers and nodes to tell the same", deadline=_SETTLING, every=1.5)


def _again(sight: Sight, nodes: Mapping[str, Node], active: list[NodeView]) -> None:
    def read(view: NodeView) -> None:
        contents(nodes[view.name], view)

    work_again = functools.partial(_work_again, sight, nodes[sight.asked])
    parallel(lambda action: action(), [work_again, *(functools.partial(read, view) for view in active)])
    parallel(lambda view: _tables(sight, nodes[view.name], view), active)


def _work_again(sight: Sight, manager: Node) -> None:
    """Read tasks, nodes and services anew, the services last: those that are as before are those of the tasks."""
    before = _versions(sight.services)
    tasks, members, listed = (manager.ask("GET", path) for path in ("/tasks", "/nodes", "/services"))
    if manager.discretion:
        manager.discretion.quote(tasks)
    sight.tasks, sight.members, sight.services = tasks, members, listed
    sight.steady = frozenset(id for id, version in _versions(listed).items() if before.get(id) == version)


def _versions(listed: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    return {service["ID"]: (service.get("Version") or {}).get("Index", 0) for service in listed}


def _tables(sight: Sight, node: Node, view: NodeView) -> None:
    for network in holdings.networks_in_use(sight, view):
        with contextlib.suppress(SwarmlabError):
            view.tables[network] = node.ask("GET", f"/networks/{network}", verbose="true")


def _ask_registry(node: Node, view: NodeView, reference: str) -> None:
    answer = _pull(node, reference)
    behind = view.info.get("HttpProxy") or view.info.get("HttpsProxy")
    late = answer.kind == UNREACHED and _OF_LATENESS.search(answer.words)
    if late and not behind and not _closed(node, reference):
        return  # the registry or the engine is busy, which says nothing of the way between them
    view.pulls[reference] = answer


def _pull(node: Node, reference: str) -> Pull:
    """Return what an engine finds when it asks a registry for an image."""
    patience = max(deadline.left(scaled(_PATIENCE + _TRY)) - scaled(_TRY), 1.0)
    try:
        answer = node.ask("GET", f"/distribution/{reference}/json", timeout=patience)
    except NoAnswer:
        return Pull(UNREACHED, words=f"no answer from the registry: timeout after {patience:.0f} s")
    except EngineRefused as refused:
        words = said(refused.explanation) if node.discretion else refused.explanation
        return Pull(_kind(words), words=words.strip())
    except SwarmlabError as failed:
        return Pull(UNREACHED, words=str(failed))
    return Pull(THERE, digest=_digest(answer))


def _kind(words: str) -> str:
    """Return what an engine found at a registry, by the words with which it refuses to tell of an image."""
    if _OF_NUMBERS.search(words):
        return LIMITED
    if _OF_THE_WAY.search(words):
        return UNREACHED
    return LOGIN if _OF_LOGIN.search(words) else LACKS if _OF_LACKING.search(words) else UNREACHED


def _closed(node: Node, reference: str) -> bool:
    """Whether a node's own connection to the registry of a reference is refused or gets no answer."""
    host, _, port = content.parse(reference).registry.partition(":")
    host = _HUB if host == content.HUB else host
    try_it = "timeout 3 bash -c 'exec 3<>/dev/tcp/$0/$1' " + shlex.join([host, port or "443"])
    for _ in range(2):  # the shell of a busy node may be late once
        with contextlib.suppress(SwarmlabError):
            return node.look(f"{HAS_LIMITS} || exit 0; {try_it}").code != 0
    return False


def _digest(answer: Any) -> str:
    return str(((answer if isinstance(answer, dict) else {}).get("Descriptor") or {}).get("digest") or "")
