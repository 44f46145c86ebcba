"""3.1: folders of the node inside a container, and the other options of the document's run command."""

import pytest

from fixtures.claims import claim
from fixtures.cluster import on_one_node
from suites.support.commands import accepted
from suites.support.mounts import inside
from swarmlab.cluster.marks import unique
from swarmlab.wait import State, eventually

#: The root password of the document's database example.
PASSWORD = "123456"


@claim("3.1/bind-container-to-host")
def test_what_is_made_inside_appears_on_the_node(node, bench):
    folder = bench.folder()
    box = bench.start("client", f"-v {folder}:/home")
    inside(bench, box, "echo inside > /home/file && mkdir -p /home/folder/deeper && echo too > /home/folder/deeper/f")
    file, deeper = node.host.file(f"{folder}/file"), node.host.file(f"{folder}/folder/deeper/f")
    assert file.is_file, f"a file that was made inside a container does not appear in {folder} of {node}"
    assert file.content_string == "inside\n", f"{folder}/file of {node} holds {file.content_string!r}"
    assert deeper.is_file, f"a folder that was made inside a container does not appear in {folder} of {node}"
    inside(bench, box, "echo more >> /home/file && rm -r /home/folder")
    assert file.content_string == "inside\nmore\n", f"{node} does not see what was appended: {file.content_string!r}"
    gone = not node.host.file(f"{folder}/folder").exists
    assert gone, f"a folder that was removed inside a container is still in {folder} of {node}"


@claim("3.1/bind-host-to-container")
def test_a_change_on_the_node_appears_inside(node, bench):
    folder = bench.folder({"file": "before\n"})
    box = bench.start("client", f"-v {folder}:/home")
    found = inside(bench, box, "cat /home/file")
    assert found == "before\n", f"a container on {node} reads {found!r} in a file of the node that holds 'before'"
    bench.write(f"{folder}/file", "after\n")
    bench.write(f"{folder}/folder/new", "new\n")
    found = inside(bench, box, "cat /home/file /home/folder/new; ls /home")
    wanted = "after\nnew\nfile\nfolder\n"
    assert found == wanted, f"{node} changed a file and made a folder; a container sees {found!r}, not {wanted!r}"
    bench.shell(f"rm {folder}/file")
    found = inside(bench, box, "ls /home")
    assert found == "folder\n", f"{node} removed a file, and a container still sees {found.split()}"


@claim("3.1/bind-survives-container")
def test_the_data_stays_on_the_node_when_the_container_is_removed(node, bench):
    folder = bench.folder()
    box = bench.start("client", f"-v {folder}:/home")
    inside(bench, box, "echo kept > /home/file")
    file = node.host.file(f"{folder}/file")
    for command in (f"stop -t 0 {box}", f"rm {box}"):
        accepted(node, command)
        assert file.exists, f"after docker {command.split()[0]} the data of a container is gone from {node}"
        assert file.content_string == "kept\n", f"after docker {command.split()[0]} {node} has {file.content_string!r}"


@claim("3.1/several-mounts")
def test_several_options_mount_several_folders(node, bench):
    folders = [bench.folder({"name": name}) for name in ("first", "second", "third")]
    places = ("/mnt/first", "/mnt/second", "/srv/third")
    options = " ".join(f"-v {folder}:{place}" for folder, place in zip(folders, places, strict=True))
    box = bench.start("client", options)
    for folder, place in zip(folders, places, strict=True):
        wanted = place.rpartition("/")[2]
        found = inside(bench, box, f"cat {place}/name")
        assert found == wanted, f"on {node}, {place} must be the folder {wanted}, and holds {found!r}"
        inside(bench, box, f"echo {place} > {place}/made")
        made = bench.shell(f"cat {folder}/made").strip()
        assert made == place, f"what was written to {place} is not in {folder} of {node}, which has {made!r}"


@claim("3.1/environment")
def test_e_sets_a_variable_of_the_environment(node, bench):
    box = bench.start("client", "-e SWC_ONE=1 -e 'SWC_TWO=two words'")
    environment = inside(bench, box, "tr '\\0' '\\n' < /proc/1/environ").splitlines()
    for wanted in ("SWC_ONE=1", "SWC_TWO=two words"):
        assert wanted in environment, f"on {node}, -e {wanted} is not in the container's environment: {environment}"


@claim("3.1/port-mapping")
def test_a_mapped_port_answers_on_the_nodes_address(cluster, node, bench):
    port = bench.port()
    box = bench.start("web:1", f"-p {port}:80")
    id = bench.inspect(box)["Id"]
    eventually(
        lambda: State((answer := node.get(port)).ok and answer.container == id[:12], str(answer)),
        f"the container on {node} to answer on {node.address}:{port}",
        deadline=10,
    )
    for other in cluster.nodes:
        done = other.run(f"curl --noproxy '*' -sS -m 5 {node.url(port)}")
        found = done.output.strip()
        assert found == id[:12], f"{other} asks {node.address}:{port}, where {id[:12]} is mapped, and gets {found!r}"


@pytest.fixture
def database(bench):
    """A function that starts the document's database on two folders of the node: configuration and data."""
    conf = bench.folder({"swc.cnf": "[mysqld]\nmax_connections = 77\n"})
    data = bench.folder()
    port = bench.port()
    options = f"-p {port}:3306 -v {conf}:/etc/mysql/conf.d -v {data}:/var/lib/mysql -e MYSQL_ROOT_PASSWORD={PASSWORD}"
    return lambda: bench.start("mysql", options, name="mysql")


@claim("3.1/database-example")
@on_one_node
def test_a_databases_rows_outlive_its_container(node, bench, database):
    first = database()
    answers(bench, first)
    wrong = sql(bench, first, "SELECT 1", password=unique("wrong"))
    assert not wrong.ok, f"on {node}, root is let into the database with a wrong password"
    limit = rows(bench, first, "SELECT @@max_connections")
    assert limit == "77", f"on {node}, conf.d sets max_connections to 77, and the database has {limit}"
    rows(bench, first, "CREATE DATABASE swc; CREATE TABLE swc.kept (n INT); INSERT INTO swc.kept VALUES (1), (2), (3)")
    bench.remove(first)
    second = database()
    answers(bench, second)
    kept = rows(bench, second, "SELECT n FROM swc.kept ORDER BY n").split()
    assert kept == ["1", "2", "3"], (
        f"on {node}, the rows 1, 2, 3 became {kept} when the database's container was replaced"
    )


def sql(bench, box, statement, *, password=PASSWORD):
    """Run a statement in the database, as its root."""
    client = f'mysql --host 127.0.0.1 --user root --password={password} --batch --skip-column-names -e "{statement}"'
    return bench.execute(box, client)


def rows(bench, box, statement):
    """Return the rows that a statement selects. It must succeed."""
    done = sql(bench, box, statement)
    assert done.ok, f"the database on {bench.node} refused {statement}: {done.output}"
    return done.out.strip()


def answers(bench, box):
    """Expect that the database comes to answer."""
    eventually(
        lambda: State((done := sql(bench, box, "SELECT 1")).ok, done.output.replace("\n", " ")),
        f"the database on {bench.node} to let root in with the password from its environment",
        deadline=90,
        every=1,
    )
