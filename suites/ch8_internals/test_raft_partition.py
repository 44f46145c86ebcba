"""8.1.1: a manager that the majority does not hear."""

from fixtures.claims import claim
from fixtures.cluster import Story
from suites.ch8_internals.quorum import (
    expect_caught_up,
    expect_found,
    expect_none_acknowledged,
    expect_work,
    leader_and_followers,
    one_leader,
)
from swarmlab.fault import applied, close_port, cut_off, deafen, split
from swarmlab.wait import eventually
from swarmlab.writer import Writer


@claim("8.1.1/minority-partition")
def test_a_manager_cut_off_takes_no_write_and_afterwards_the_majoritys_state(stories):
    stories(
        Story("the leader is cut off", apart("leader", cut_off)),
        Story("a follower is cut off", apart("follower", cut_off)),
        Story("a follower hears nobody", apart("follower", deafen)),
        Story("a follower's port of managers is closed", apart("follower", port_closed)),
        Story("two managers hear each other through the third only", bridged),
    )


def port_closed(alone, _):
    """The port by which managers speak to each other, and to those that ask them, is closed at one."""
    return close_port(2377, alone, protocols=["tcp"])


def bridged(cluster):
    """A story: each half of the managers takes itself for a majority with the bridge, and only one of them is."""
    leader, (bridge, other) = leader_and_followers(cluster)
    with Writer(cluster.nodes) as writer:
        eventually(lambda: writer.served(cluster.nodes, 0), "writes through every manager to be acknowledged")
        with applied(split([leader, bridge], [bridge, other]), cluster):
            since = writer.now
            writer.mark(f"{leader} and {other} hear each other no more")
            # Mostly that is the follower; on a busy machine the bridge may come to vote for it.
            eventually(
                lambda: writer.refused([leader], since) or writer.refused([other], since),
                f"{leader} or {other}, which has no majority, to refuse a write",
                deadline=90,
            )
            now = writer.now
            eventually(
                lambda: writer.served([bridge], now),
                f"writes through {bridge}, which is heard by all, to be acknowledged",
                deadline=90,
            )
        healed = writer.now
        writer.mark(f"{leader} and {other} hear each other again")
        eventually(
            lambda: one_leader(cluster.nodes, cluster.nodes),
            f"all managers to name one leader, {leader} and {other} hearing each other again",
            deadline=90,
        )
        eventually(
            lambda: writer.served(cluster.nodes, healed), "writes through every manager to be acknowledged", deadline=60
        )
    expect_found(writer, cluster.nodes)
    cluster.expect_ready()
    expect_caught_up(cluster, other, writer)


def apart(word, how):
    """A story: one manager is cut off as *how* does it, while there is writing through all; then the cut heals."""

    def play(cluster):
        leader, followers = leader_and_followers(cluster)
        alone = leader if word == "leader" else followers[0]
        with Writer(cluster.nodes) as writer:
            eventually(lambda: writer.served(cluster.nodes, 0), "writes through every manager to be acknowledged")
            with applied(how(alone, cluster.nodes), cluster):
                since = writer.now
                writer.mark(f"{alone} cut off")
                expect_work(cluster, writer, alone)
                eventually(
                    lambda: writer.refused([alone], since), f"{alone}, which is cut off, to refuse a write", deadline=90
                )
                until = writer.now
            expect_none_acknowledged(writer, since, [alone], until)
            healed = writer.now
            writer.mark(f"{alone} cut off no more")
            eventually(
                lambda: one_leader(cluster.nodes, cluster.nodes),
                f"all managers to name one leader, {alone} being cut off no more",
                deadline=90,
            )
            eventually(
                lambda: writer.served([alone], healed),
                f"writes through {alone} after the cut to be acknowledged",
                deadline=60,
            )
        expect_found(writer, cluster.nodes)
        cluster.expect_ready()
        expect_caught_up(cluster, alone, writer)

    return play
