"""8.3: what a join token protects: the newcomer from a false swarm, and the swarm from a false newcomer."""

import pytest

from fixtures.claims import claim
from suites.ch8_internals.certificates import make_member
from suites.commands import accepted, refusal
from swarmlab.swarm import join
from swarmlab.wait import State, eventually


@claim("8.3/digest-verified")
@pytest.mark.cluster(managers=1, workers=0, spare=2)
def test_a_node_does_not_join_where_the_token_holds_another_digest(cluster):
    newcomer, other = cluster.spare
    accepted(other, f"swarm init --advertise-addr {other.address}")
    theirs = other.ask("GET", "/swarm")["JoinTokens"]
    for role, token in cluster.tokens().items():
        for kind, wrong in (
            ("a changed digest", altered(token, 2)),
            ("the digest of another swarm", with_field(token, 2, theirs[role].split("-")[2])),
            ("another swarm's token", theirs[role]),
        ):
            words = expect_refused(cluster, newcomer, wrong, f"a {role.lower()} token with {kind}")
            # Whose refusal it is shows in its words: a manager, which is asked with a wrong secret only, says others.
            managers = expect_refused(cluster, newcomer, altered(token, 3), "a wrong secret")
            assert words != managers, f"with {kind} it is the manager that refuses {newcomer}: {words}"
    make_member(cluster, newcomer)  # with the right token the same node is let in


@claim("8.3/secret-verified")
@pytest.mark.cluster(managers=1, workers=0, spare=2)
def test_a_manager_lets_nobody_in_with_a_wrong_secret(cluster):
    newcomer, other = cluster.spare
    accepted(other, f"swarm init --advertise-addr {other.address}")
    theirs = other.ask("GET", "/swarm")["JoinTokens"]
    for role, token in cluster.tokens().items():
        for kind, wrong in (
            ("another last digit", altered(token, 3)),
            ("another first digit", altered(token, 3, at=0)),
            ("the secret of another swarm", with_field(token, 3, theirs[role].split("-")[3])),
            ("no secret", with_field(token, 3, "")),
        ):
            expect_refused(cluster, newcomer, wrong, f"a {role.lower()} token with {kind}")
    make_member(cluster, newcomer)  # with the right token the same node is let in


def with_field(token, place, value):
    """A token with another digest (place 2) or secret (place 3)."""
    fields = token.split("-")
    fields[place] = value
    return "-".join(fields)


def altered(token, place, *, at=-1):
    """A token in which one digit of digest (place 2) or secret (place 3) is another."""
    digits = list(token.split("-")[place])
    digits[at] = "1" if digits[at] == "0" else "0"
    return with_field(token, place, "".join(digits))


def expect_refused(cluster, newcomer, token, kind):
    """Judge that *newcomer* stays outside with this token; gives the words of the refusal."""
    before = cluster.identity()
    words = refusal(join, newcomer, cluster.manager, token)
    assert words, f"{newcomer} was let in with {kind}"
    state = newcomer.swarm_state()
    assert state != "active", f"{newcomer} was refused with {kind}, and is in the swarm"
    after = cluster.identity()
    assert after == before, f"{newcomer} was refused with {kind}, and the members went from {before} to {after}"
    newcomer.docker("swarm leave --force")
    eventually(
        lambda: State((seen := newcomer.swarm_state()) == "inactive", f"it is {seen}"), f"{newcomer} to be free again"
    )
    return words
