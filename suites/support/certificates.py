"""What the tests of certificates have in common: joining, rotating, and how long a certificate is valid."""

import datetime

from suites.support.commands import accepted, refusal
from swarmlab.cluster import pki
from swarmlab.cluster.node import Node
from swarmlab.cluster.swarm import join
from swarmlab.errors import EngineRefused, LabError
from swarmlab.wait import State, eventually, wait

HOUR = datetime.timedelta(hours=1)


def now():
    """The suite's own time."""
    return datetime.datetime.now(datetime.timezone.utc)


def lifetime(certificate):
    """How long a certificate is valid, from its first moment to its last."""
    return certificate.not_valid_after_utc - certificate.not_valid_before_utc


def make_member(cluster, newcomer: Node, role="Worker"):
    """Let *newcomer* join, and wait until the managers say that it is Ready."""
    manager = cluster.manager
    refused = refusal(join, newcomer, manager, cluster.tokens()[role])
    if "ALPN" in refused:
        # In swarms of mixed engines: managers of older ones stop offering HTTP/2 when their certificate is renewed, and
        # newer engines join nobody who does not. That is not what is judged here; after a restart they offer it again.
        newcomer.docker("swarm leave --force")
        manager.stop()
        manager.start()
        wait(lambda: managed(cluster), f"{manager} to manage again with the others", deadline=120, error=LabError)
        refused = refusal(join, newcomer, manager, cluster.tokens()[role])
    assert not refused, f"{newcomer} could not join {manager} with the right token: {refused}"
    identity = newcomer.node_id()
    eventually(
        lambda: State((seen := cluster.state_of(identity)) == "ready", f"it shows as {seen or 'no member'}"),
        f"{newcomer}, which joined, to be Ready",
        deadline=60,
    )


def managed(cluster):
    """Whether the managers answer, agree and reach each other; workers may be on their way, out or in."""
    of_managers = ("managers answer", "agreed leader", "all managers reachable")
    broken = [
        f"{name}: {state.seen}" for name, state in cluster.conditions().items() if name in of_managers and not state
    ]
    return State(not broken, "; ".join(broken) or "all managers are at work")


def accepted_rotation(cluster, words=""):
    """Rotate the root certificate with ``docker swarm ca --rotate WORDS``, and wait until that is done."""
    accepted(cluster.manager, f"swarm ca --rotate --detach {words}")
    eventually(lambda: rotated(cluster), "the rotation to be finished", deadline=120)


def rotated(cluster):
    """Whether no rotation is in progress; if one is, which nodes it waits for."""
    try:
        told, members = cluster.manager.ask("GET", "/swarm"), cluster.members()
    except EngineRefused as refused:  # managers lose each other for a moment when their certificates change
        return State(False, str(refused))
    if not told["RootRotationInProgress"]:
        return State(True, "no rotation is in progress")
    wanted = told["TLSInfo"]["CertIssuerPublicKey"]
    late = [
        f"{member['Description']['Hostname']} ({member['Status']['State']})"
        for member in members
        if member["Description"].get("TLSInfo", {}).get("CertIssuerPublicKey") != wanted
    ]
    return State(False, f"it waits for {', '.join(late) or 'no node'}")


def known_to_be_in_force(cluster, root):
    """Whether the managers say of every member that its certificate is of *root*, and that it trusts *root* alone."""
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
    return State(not late, f"another root, or another's certificate, is shown of {', '.join(late) or 'no node'}")


def in_force(node, root):
    """Whether *node* has a certificate that *root* signed itself, and trusts *root* and nothing else."""
    held, trusted = pki.certificate_of(node), pki.root_of(node)
    if not pki.issued_by(held, root):
        return State(False, f"{node} has {pki.told(held)}, which that root did not sign")
    others = [pki.told(one) for one in trusted if one != root]
    if root not in trusted or others:
        return State(False, f"{node} trusts {'; '.join(map(pki.told, trusted))}")
    return State(True, f"{node} has a certificate of it, and trusts it alone")
