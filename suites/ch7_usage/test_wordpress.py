"""7.3: a stack of a web tier and a database tier."""

import secrets

from fixtures.claims import claim
from suites.support.commands import accepted
from suites.support.stacks import COMPOSE, deployed, runs
from swarmlab.wait import State, eventually, wait


@claim("7.3/wordpress-stack")
def test_the_page_of_a_web_tier_is_kept_in_the_database_tier(cluster, stack):
    folder = COMPOSE / "wordpress"
    files = {name: (folder / name).read_text(encoding="utf-8") for name in ("docker-compose.yml", "app.py")}
    port, home = cluster.port(), cluster.nodes[-1]
    images = f"PYTHON_IMAGE={cluster.image('python:3')} MYSQL_IMAGE={cluster.image('mysql')}"
    # Asked are nodes that run a task, and the database is found by its task's address: this is no claim on the mesh.
    how = f"PORT={port} PORT_MODE=host ENDPOINT_MODE=dnsrr LABEL={cluster.label} PASSWORD={secrets.token_hex(12)}"
    where = f"DB_PLACE='node.hostname == {home}'"
    deployed(stack, stack.place(files, "docker-compose.yml"), f"{images} {how} {where}")
    tiers = {"wordpress": len(cluster.nodes), "db": 1}
    eventually(lambda: runs(stack, tiers), f"{stack} to run a web tier on every node and a database", deadline=180)

    posts = []
    for node in cluster.nodes:
        eventually(lambda node=node: shows(node, port, posts), f"the page on {node} to show {posts}", deadline=120)
        words = f"written on {node}: {secrets.token_hex(4)} 数据"
        answer = node.send("POST", port, body=words, timeout=30)
        assert answer.ok, f"the page on {node} takes no post: {answer}"
        posts.append(words)
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
    for node in cluster.nodes:
        eventually(
            lambda node=node: shows(node, port, posts), f"the page on {node} to show what was {what}", deadline=120
        )


def shows(node, port, posts):
    answer = node.get(port, timeout=30)
    seen = answer.body.decode(errors="replace").splitlines()
    shown = answer.ok and seen == posts
    # What an answer shows is final: posts that are missing do not come back.
    return State(shown, f"it gives {answer}: {seen}, not {posts}", hopeless=answer.ok and not shown)


def replace(stack, name):
    """Have the swarm replace all tasks of a service, and wait until there are as many new ones."""
    service = stack.service(name)
    old = {task.id for task in service.running()}
    accepted(stack.cluster.manager, f"service update --detach --force {service}")
    wait(
        lambda: service.converged(len(old), lambda task: task.id not in old),
        f"every task of {service} to be replaced",
        deadline=180,
    )
