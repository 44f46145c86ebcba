"""Checks of certificates: how long those of the nodes and the root certificate are valid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

from cryptography import x509

from swarmlab.cluster import pki
from swarmlab.preflight import work
from swarmlab.preflight.finding import Finding, Level, Unknown
from swarmlab.preflight.model import NodeView, Sight, by_node, unasked

#: Engines renew a certificate after 50 to 80 % of its lifetime. With less than this share left, renewal is overdue.
_OVERDUE = 0.2
#: A cluster that is switched off for longer than its certificates are valid does not work again.
_LEAST = timedelta(days=7)
#: Certificates of no longer than this, and the hour by which they are dated back, end while somebody mends a node.
_SHORT = timedelta(days=1, hours=1)
#: Seconds in which the nodes of a swarm get certificates of a new root certificate.
_ROTATES = 120.0
_LEAST_OF_ROOT = timedelta(days=180)
#: What follows where a node's certificate is not valid: its swarm has lost it.
_LOST = ("membership", "quorum", "stuck-tasks: pending for")
_INCIDENTS = "moby#24132, moby#42660, swarmkit#2933"


@by_node
def of_nodes(_: Sight, view: NodeView) -> Iterator[Finding]:
    """How long the node's certificate is valid."""
    found = pki.parse(view.read("certificate"))
    if not found:
        raise Unknown(
            "its certificate file has no certificate",
            "on {nodes}: openssl x509 -noout -dates -in $(docker info -f '{{.DockerRootDir}}')"
            "/swarm/certificates/swarm-node.crt",
        )
    certificate = found[0]
    now = datetime.now(timezone.utc)
    left, whole = (
        certificate.not_valid_after_utc - now,
        certificate.not_valid_after_utc - certificate.not_valid_before_utc,
    )
    renew = "on a manager: docker swarm ca --rotate; the node must reach a manager on port 2377"
    if left <= timedelta(0):
        mend = (
            "if a manager still works: on {nodes}: docker swarm leave --force, then docker swarm join with a token of "
            "docker swarm join-token; if none does: on one manager: docker swarm init --force-new-cluster"
        )
        yield Finding(
            Level.ERROR,
            f"its certificate ended {_days(-left)} ago",
            "the node has lost its swarm",
            _INCIDENTS,
            mend=mend,
            causes=_LOST,
        )
    elif certificate.not_valid_before_utc > now:
        yield Finding(
            Level.ERROR,
            "its certificate is not valid yet",
            "managers and the node refuse each other's certificates",
            _INCIDENTS,
            mend="set the clocks of {nodes} and of the managers: chronyc makestep, or ntpdate",
            causes=_LOST,
        )
    elif left < _OVERDUE * whole:
        summary = f"its certificate is valid for {_days(left)} of {_days(whole)}, and should have been renewed"
        yield Finding(Level.WARNING, summary, "the node loses its swarm when it ends", _INCIDENTS, mend=renew)
    elif left < _LEAST:
        risk = "a cluster that is off for longer does not work again"
        mend = "on a manager: docker swarm update --cert-expiry 2160h && docker swarm ca --rotate"
        level = Level.WARNING if whole <= _SHORT else Level.INFO
        yield Finding(level, f"its certificate is valid for {_days(left)}", risk, _INCIDENTS, mend=mend)
    else:
        yield Finding(Level.OK, f"valid for {left.days} days")


def of_root(sight: Sight) -> Iterator[Finding]:
    """How long the swarm's root certificate is valid."""
    roots = pki.parse((sight.swarm.get("TLSInfo") or {}).get("TrustRoot", ""))
    if not roots:
        if not sight.asked:
            yield unasked(sight)
        else:
            mend = "on a manager: docker swarm ca | openssl x509 -noout -enddate"
            yield Finding(Level.UNKNOWN, "the managers list no root certificate", mend=mend)
    for root in roots:
        yield _of_root(root)
    if sight.swarm.get("RootRotationInProgress"):
        risk = "it does not end until every node has a new certificate, and a node that is down keeps it from ending"
        mend = "start the nodes that are down, or remove them: docker node ls, docker node rm NODE"
        begun = work.now(sight) - work.changed(sight.swarm) < _ROTATES
        level = Level.INFO if begun else Level.WARNING
        yield Finding(level, "the root certificate is being replaced", risk, mend=mend)


def _of_root(root: x509.Certificate) -> Finding:
    left = root.not_valid_after_utc - datetime.now(timezone.utc)
    if left < _LEAST_OF_ROOT:
        level = Level.ERROR if left <= timedelta(0) else Level.WARNING
        ended = left <= timedelta(0)
        return Finding(
            level,
            f"the root certificate ended {_days(-left)} ago"
            if ended
            else f"the root certificate is valid for {_days(left)}",
            "every node loses its swarm when it ends",
            _INCIDENTS,
            mend="on a manager: docker swarm ca --rotate",
            causes=("node-certificates", "membership", "quorum") if ended else (),
        )
    return Finding(Level.OK, f"valid for {left.days} days")


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:.0f} days" if abs(days) >= 3 else f"{days * 24:.1f} hours"
