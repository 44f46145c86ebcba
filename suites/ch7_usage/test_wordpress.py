"""7.3: a stack of a web tier and a database tier."""

import secrets

from fixtures.claims import claim
from suites.support.stacks import deploy_project, runs
from suites.support.traffic import from_each
from swarmlab.wait import State, eventually, wait


@claim("7.3/wordpress-stack")
def test_the_page_of_a_web_tier_is_kept_in_the_database_tier(cluster, stack):
    port, home = cluster.port(), cluster.nodes[-1]
    # No routing mesh is involved: every node has a task and is asked at its own port, and the database has no virtual
    # address.
    deploy_project(
        stack,
        "wordpress",
        "docker-compose.yml",
        PYTHON_IMAGE=cluster.image("python:3"),
        MYSQL_IMAGE=cluster.image("mysql"),
        PORT=port,
        PORT_MODE="host",
        ENDPOINT_MODE="dnsrr",
        LABEL=cluster.label,
        PASSWORD=secrets.token_hex(12),
        DB_PLACE=f"node.hostname == {home}",
    )
    tiers = {"wordpress": len(cluster.nodes), "db": 1}
    eventually(lambda: runs(stack, tiers), f"{stack} to run a web tier on every node and a database", deadline=180)

    posts = []
    for node in cluster.nodes:
        eventually(lambda node=node: shows(node, port, posts), f"the page on {node} to show {posts}", deadline=120)
        post = f"written on {node}: {secrets.token_hex(4)} 数据"
        answer = node.send("POST", port, body=post, timeout=30)
        assert answer.ok, f"the page on {node} takes no post: {answer}"
        posts.append(post)
    everywhere(cluster, port, posts, "written on every node")
    for node in cluster.nodes:
        volumes = [volume["Name"] for volume in stack.volumes(node)]
        wanted = [f"{stack}_db-data"] if node is home else []
        assert volumes == wanted, f"{node} has the volumes {volumes} of {stack}, whose database is on {home}"

    replace(stack, "wordpress")
    everywhere(cluster, port, posts, "written before every task of the web tier was replaced")
    replace(stack, "db")
    (task,) = stack.service("db").running()
    assert task.node == home.name, f"the database of {stack} is bound to {home}, and is on {task.node} now"
    everywhere(cluster, port, posts, f"written before the database's task was replaced on {home}")


def everywhere(cluster, port, posts, what):
    """Expect that the page shows *posts* on every node."""
    eventually(
        lambda: from_each(cluster.nodes, lambda node: shows(node, port, posts)),
        f"the page on every node to show what was {what}",
        deadline=120,
        alike=True,
    )


def shows(node, port, posts):
    """Whether the page on a node shows *posts* and nothing else."""
    answer = node.get(port, timeout=30)
    found = answer.body.decode(errors="replace").splitlines()
    shown = answer.ok and found == posts
    # An answer is final: posts that are missing in it do not come back.
    return State(shown, f"it gives {answer}: {found}, not {posts}", hopeless=answer.ok and not shown)


def replace(stack, name):
    """Have the swarm replace all tasks of a service, and wait until there are as many new ones."""
    service = stack.service(name)
    old = {task.id for task in service.running()}
    service.renew()
    wait(
        lambda: service.replaced(len(old), lambda task: task.id not in old),
        f"every task of {service} to be replaced",
        deadline=max(180, 60 + 10 * len(old)),  # one after the other
    )
