"""Certificates of nodes: joining with one, rotating the root, and how long one is valid."""

from __future__ import annotations

import datetime

from cryptography import x509

from suites.support.commands import accepted, refusal
from swarmlab.cluster import pki
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import Swarm, join
from swarmlab.errors import EngineRefused, LabError
from swarmlab.lists import few
from swarmlab.wait import State, eventually, wait

HOUR = datetime.timedelta(hours=1)


def now() -> datetime.datetime:
    """Return the time by the suite's own clock."""
    return datetime.datetime.now(datetime.timezone.utc)


def lifetime(certificate: x509.Certificate) -> datetime.timedelta:
    """Return the time from the first to the last moment at which a certificate is valid."""
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc


def make_member(cluster: Swarm, newcomer: Node, role: str = "Worker") -> None:
    """Expect that *newcomer* can join, and becomes Ready.

    Args:
        cluster: the swarm.
        newcomer: a node in no swarm.
        role: the role of the token that it joins with, Worker or Manager.
    """
    manager = cluster.manager
    refused = refusal(join, newcomer, manager, cluster.tokens()[role])
    if "ALPN" in refused:
        # A known incident of mixed engines, not judged here: managers of older engines stop offering HTTP/2 when their
        # certificate is renewed, and newer engines refuse to join them. After a restart they offer it again.
        newcomer.docker("swarm leave --force")
        manager.stop()
        manager.start()
        wait(lambda: managed(cluster), f"{manager} to manage again with the others", deadline=120, error=LabError)
        refused = refusal(join, newcomer, manager, cluster.tokens()[role])
    assert not refused, f"{newcomer} could not join {manager} with the right token: {refused}"
    expect_ready_member(cluster, newcomer, f"{newcomer}, which joined,")


def expect_ready_member(cluster: Swarm, node: Node, who: str = "", *, deadline: float = 60) -> str:
    """Expect that *node*, which joined, becomes Ready.

    Args:
        cluster: the swarm.
        node: the node.
        who: a phrase for the node, for the message.
        deadline: seconds at reference speed.

    Returns:
        Its id in the swarm.
    """
    identity = node.node_id()

    def ready() -> State:
        state = cluster.state_of(identity)
        return State(state == "ready", f"it shows as {state or 'no member'}")

    eventually(ready, f"{who or node} to be Ready", deadline=deadline)
    return identity


def managed(cluster: Swarm) -> State:
    """Whether the managers answer, agree on a leader and reach each other; workers do not matter."""
    of_managers = ("managers answer", "agreed leader", "all managers reachable")
    broken = [
        f"{name}: {state.summary}" for name, state in cluster.conditions().items() if name in of_managers and not state
    ]
    return State(not broken, few(broken, "; ") or "all managers are at work")


def accepted_rotation(cluster: Swarm, options: str = "") -> None:
    """Rotate the root certificate with ``docker swarm ca --rotate OPTIONS``, and expect that the rotation ends."""
    accepted(cluster.manager, f"swarm ca --rotate --detach {options}")
    eventually(lambda: rotated(cluster), "the rotation to be finished", deadline=120)


def rotated(cluster: Swarm) -> State:
    """Whether no rotation is in progress; if one is, the summary names the nodes that it waits for."""
    try:
        swarm, members = cluster.manager.ask("GET", "/swarm"), cluster.members()
    except EngineRefused as refused:  # managers lose each other for a moment when their certificates change
        return State(False, str(refused))
    if not swarm["RootRotationInProgress"]:
        return State(True, "no rotation is in progress")
    wanted = swarm["TLSInfo"]["CertIssuerPublicKey"]
    late = [
        f"{member['Description']['Hostname']} ({member['Status']['State']})"
        for member in members
        if member["Description"].get("TLSInfo", {}).get("CertIssuerPublicKey") != wanted
    ]
    return State(False, f"it waits for {few(late) or 'no node'}")


def known_to_be_in_force(cluster: Swarm, root: x509.Certificate) -> State:
    """Whether the managers list every member with a certificate of *root*, and with *root* as its only trust."""
    try:
        members = cluster.members()
    except EngineRefused as refused:
        return State(False, str(refused))
    late = [
        member["Description"]["Hostname"]
        for member in members
        if pki.parse(member["Description"]["TLSInfo"]["TrustRoot"]) != [root]
        or pki.issuer_key(member["Description"]["TLSInfo"]) != pki.public(root)
    ]
    return State(not late, f"another root, or another's certificate, is shown of {few(late) or 'no node'}")


def in_force(node: Node, root: x509.Certificate) -> State:
    """Whether *node* has a certificate that *root* signed itself, and trusts *root* and no other."""
    held, trusted = pki.certificate_of(node), pki.root_of(node)
    if not pki.issued_by(held, root):
        return State(False, f"{node} has {pki.summary(held)}, which that root did not sign")
    others = [pki.summary(certificate) for certificate in trusted if certificate != root]
    if root not in trusted or others:
        return State(False, f"{node} trusts {'; '.join(map(pki.summary, trusted))}")
    return State(True, f"{node} has a certificate of it, and trusts it alone")
