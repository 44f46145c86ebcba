"""Checks of certificates: how long those of the nodes and the root certificate are valid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from cryptography import x509

from swarmlab.cluster import pki
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_node

#: Engines renew a certificate after 50 to 80 % of its lifetime. With less than this share left, renewal is overdue.
_OVERDUE = 0.2
#: A cluster that is switched off for longer than its certificates are valid does not work again.
_LEAST = timedelta(days=7)
_LEAST_OF_ROOT = timedelta(days=180)
_INCIDENTS = "moby#24132, moby#42660, swarmkit#2933"


@by_node
def of_nodes(_: Sight, view: NodeView) -> Iterator[Finding]:
    """How long the node's certificate is valid."""
    found = pki.parse(view.read("certificate"))
    if not found:
        raise Unknown("its certificate file has no certificate")
    certificate = found[0]
    now = datetime.now(timezone.utc)
    left, whole = (
        certificate.not_valid_after_utc - now,
        certificate.not_valid_after_utc - certificate.not_valid_before_utc,
    )
    renew = "docker swarm ca --rotate renews all; check that the node reaches a manager on port 2377"
    if left <= timedelta(0):
        risk = f"the node has lost its swarm; {renew}; without any manager: docker swarm init --force-new-cluster"
        yield Finding(Level.ERROR, f"its certificate ended {_days(-left)} ago", risk, _INCIDENTS)
    elif certificate.not_valid_before_utc > now:
        yield Finding(Level.ERROR, "its certificate is not valid yet", "set its clock, or the managers'", _INCIDENTS)
    elif left < _OVERDUE * whole:
        summary = f"its certificate is valid for {_days(left)} of {_days(whole)}, and should have been renewed"
        yield Finding(Level.WARNING, summary, f"the node loses its swarm when it ends; {renew}", _INCIDENTS)
    elif left < _LEAST:
        risk = (
            "a cluster that is off for longer does not work again; docker swarm update --cert-expiry 2160h, then "
            + renew
        )
        yield Finding(Level.WARNING, f"its certificate is valid for {_days(left)}", risk, _INCIDENTS)
    else:
        yield Finding(Level.OK, f"valid for {left.days} days")


def of_root(sight: Sight) -> Iterator[Finding]:
    """How long the swarm's root certificate is valid."""
    roots = pki.parse((sight.swarm.get("TLSInfo") or {}).get("TrustRoot", ""))
    if not roots:
        yield Finding(Level.UNKNOWN, sight.unasked if not sight.asked else "the managers list no root certificate")
    for root in roots:
        yield _of_root(root)
    if sight.swarm.get("RootRotationInProgress"):
        mend = "nodes need both roots until all have new certificates; find the node that is down: docker node ls"
        yield Finding(Level.WARNING, "the root certificate is being replaced", mend)


def _of_root(root: x509.Certificate) -> Finding:
    left = root.not_valid_after_utc - datetime.now(timezone.utc)
    if left < _LEAST_OF_ROOT:
        level = Level.ERROR if left <= timedelta(0) else Level.WARNING
        risk = "every node loses its swarm when it ends; docker swarm ca --rotate makes a new one"
        return Finding(level, f"the root certificate is valid for {_days(left)}", risk, _INCIDENTS)
    return Finding(Level.OK, f"valid for {left.days} days")


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:.0f} days" if abs(days) >= 3 else f"{days * 24:.1f} hours"
