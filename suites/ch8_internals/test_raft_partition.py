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
from swarmlab.fault import applied, cut_off, deafen
from swarmlab.wait import eventually
from swarmlab.writer import Writer


@claim("8.1.1/minority-partition")
def test_a_manager_cut_off_takes_no_write_and_afterwards_the_majoritys_state(stories):
    stories(
        Story("the leader is cut off", apart("leader", cut_off)),
        Story("a follower is cut off", apart("follower", cut_off)),
        Story("a follower hears nobody", apart("follower", deafen)),
    )


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
