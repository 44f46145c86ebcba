"""8.3: join tokens, which protect a newcomer from a false swarm and a swarm from a false newcomer."""

import pytest

from fixtures.claims import claim
from suites.support.certificates import make_member
from suites.support.commands import refusal
from suites.support.membership import random_secret, with_field
from swarmlab.cluster import pki
from swarmlab.cluster.swarm import join
from swarmlab.parallel import parallel
from swarmlab.wait import State, eventually


@claim("8.3/digest-verified")
@pytest.mark.cluster(managers=1, workers=0, spare=2)
def test_a_node_does_not_join_where_the_token_holds_another_digest(cluster):
    newcomer, another = cluster.spare
    tokens = cluster.tokens()
    other_swarm = pki.token_digest(pki.Authority.make().root)
    of_other_swarm = f"SWMTKN-1-{other_swarm}-{random_secret()}"
    # The newcomer itself must refuse: it asks a manager only if the digest is right, and a manager refuses with another
    # message.
    of_manager = expect_refused(cluster, {another: ("a wrong secret", altered(tokens["Worker"], 3))})[another.name]
    for wrong in (
        {
            newcomer: ("a worker token with a changed digest", altered(tokens["Worker"], 2)),
            another: ("a manager token with a changed digest", altered(tokens["Manager"], 2, at=0)),
        },
        {
            newcomer: ("a token with the digest of another swarm", with_field(tokens["Worker"], 2, other_swarm)),
            another: ("the token of another swarm", of_other_swarm),
        },
    ):
        for name, explanation in expect_refused(cluster, wrong).items():
            assert explanation != of_manager, (
                f"with another digest it is the manager that refuses {name}: {explanation}"
            )
    make_member(cluster, newcomer)  # with the right token the same node is let in


@claim("8.3/secret-verified")
@pytest.mark.cluster(managers=1, workers=0, spare=2)
def test_a_manager_lets_nobody_in_with_a_wrong_secret(cluster):
    newcomer, another = cluster.spare
    tokens = cluster.tokens()
    for wrong in (
        {
            newcomer: ("a worker token with another last digit", altered(tokens["Worker"], 3)),
            another: ("a manager token with another first digit", altered(tokens["Manager"], 3, at=0)),
        },
        {
            newcomer: (
                "a token with another swarm's secret",
                with_field(tokens["Worker"], 3, random_secret()),
            ),
            another: ("a token without a secret", with_field(tokens["Manager"], 3, "")),
        },
    ):
        expect_refused(cluster, wrong)
    make_member(cluster, newcomer)  # with the right token the same node is let in


def altered(token, place, *, at=-1):
    """Return the token with one digit changed in its digest (place 2) or secret (place 3)."""
    digits = list(token.split("-")[place])
    digits[at] = "1" if digits[at] == "0" else "0"
    return with_field(token, place, "".join(digits))


def expect_refused(cluster, wrong):
    """Judge that newcomers stay outside.

    Args:
        cluster: the swarm.
        wrong: a description and the token that the newcomer tries, by newcomer.

    Returns:
        The explanation of each refusal, by host name.
    """
    manager, before = cluster.manager, cluster.identity()

    def attempt(newcomer):  # in parallel, as an engine tries for ten seconds before it gives up
        kind, token = wrong[newcomer]
        explanation = refusal(join, newcomer, manager, token)
        assert explanation, f"{newcomer} was let in with {kind}"
        return newcomer.name, explanation

    refused = dict(parallel(attempt, wrong))
    after = cluster.identity()
    for newcomer, (kind, _) in wrong.items():  # after the look at the members, which would show one that came in late
        assert newcomer.swarm_state() != "active", f"{newcomer} was refused with {kind}, and is in the swarm"
    kinds = " or ".join(kind for kind, _ in wrong.values())
    assert after == before, f"nodes with {kinds} were refused, and the members went from {before} to {after}"
    for newcomer in wrong:
        newcomer.docker("swarm leave --force")
        eventually(
            lambda newcomer=newcomer: State((found := newcomer.swarm_state()) == "inactive", f"it is {found}"),
            f"{newcomer} to be free again",
        )
    return refused
