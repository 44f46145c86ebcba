"""Certificates: how long those of nodes are valid, and how old the root is, by the site's policy."""

import datetime

from fixtures.claims import claim
from suites.support.certificates import HOUR, lifetime, now
from suites.support.hardening import as_it_stands
from swarmlab.cluster import pki

_DAY = datetime.timedelta(days=1)


@claim("cis/node-certificates-rotated")
@as_it_stands
def test_certificates_of_nodes_are_valid_no_longer_than_the_policy_has_it(site, policy):
    days = policy("--cis-node-days")
    for node in site.nodes:
        held = pki.certificate_of(node)
        issued = lifetime(held) - HOUR  # by which engines date it back
        assert issued <= days * _DAY + HOUR / 30, (  # engines cut times to minutes
            f"the policy is {days:g} days, and the certificate of {node} is valid for {issued / _DAY:.1f} days: "
            f"{pki.summary(held)}"
        )
        assert held.not_valid_after_utc > now(), f"the certificate of {node} has expired: {pki.summary(held)}"
    setting = site.manager.ask("GET", "/swarm")["Spec"]["CAConfig"].get("NodeCertExpiry", 0) / 1e9 / 86400
    assert setting <= days, f"the policy is {days:g} days, and the swarm makes certificates for {setting:g} days"


@claim("cis/root-rotated")
@as_it_stands
def test_the_root_certificate_is_not_older_than_the_policy_has_it(site, policy):
    days = policy("--cis-root-days")
    held = {f"{node} trusts": pki.root_of(node) for node in site.nodes}
    held["the managers issue by"] = pki.parse(site.manager.ask("GET", "/swarm")["TLSInfo"]["TrustRoot"])
    for who, roots in held.items():
        assert roots, f"{who} no root certificate"
        for root in roots:
            age = (now() - root.not_valid_before_utc) / _DAY
            assert age <= days, f"the policy is {days:g} days, and {who} a root of {age:.1f} days: {pki.summary(root)}"
