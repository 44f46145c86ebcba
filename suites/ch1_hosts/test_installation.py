"""1.3.1: the version of the engine, and the package that it came from."""

import re

from fixtures.claims import claim
from fixtures.cluster import on_every_node
from suites.support.commands import last, need_package_manager
from swarmlab.cluster.node import on_each
from swarmlab.errors import Blocked, LabError
from swarmlab.lists import few
from swarmlab.wait import scaled


@claim("1.3.1/engine-version")
@on_every_node
def test_engine_is_of_the_declared_version(node, lab):
    wanted = lab.declared(node.name).engine
    running = version(node)
    # Debian appends its own revision: 20.10.24+dfsg1.
    assert running.partition("+")[0] == wanted, f"{node} runs engine {running}, the lab declares {wanted}"


@claim("1.3.1/same-engine-everywhere")
def test_all_nodes_run_the_same_engine(cluster, lab):
    asked = sorted({lab.declared(node.name).engine for node in cluster.nodes})
    if len(asked) > 1:
        raise Blocked(f"the lab was asked for several engines: {', '.join(asked)}")
    running: dict[str, list[str]] = {}
    for node, engine in zip(cluster.nodes, on_each(version, cluster.nodes), strict=True):
        running.setdefault(engine, []).append(node.name)
    told = "; ".join(f"{few(names)} run {engine}" for engine, names in running.items())
    assert len(running) == 1, f"the nodes run different engines: {told}"


@claim("1.3.1/from-package")
@on_every_node
def test_engine_is_from_a_package_of_a_repository(node, bench, lab):
    if not lab.declared(node.name).packaged:
        raise Blocked(f"the lab took the engine of {node} from files, not from a repository of packages")
    need_package_manager(node)
    found = node.run("readlink /proc/$(pgrep -o -x dockerd)/exe")
    program = found.out.strip()
    assert program, f"no engine runs on {node}: {found.output}"
    way_out = not lab.offers.missing(["internet"])
    manager = Apt(node, bench, way_out=way_out) if node.host.exists("dpkg-query") else Yum(node)
    package = manager.owner(program)
    assert package, f"the engine of {node}, {program}, belongs to no package"
    changed = manager.changed(package, program)
    assert not changed, f"the engine of {node}, {program}, differs from package {package}: {changed}"
    installed, offered = manager.versions(package)
    assert installed, f"the package manager of {node} lists no version of {package}"
    if offered is None:
        raise Blocked(f"{node} has neither lists of its package repositories nor a way to them")
    listed = ", ".join(offered) or "none"
    if installed not in offered and superseded(node, installed, offered):
        raise Blocked(f"{package} {installed} of {node} is older than what its repositories still have: {listed}")
    assert installed in offered, f"{package} {installed} of {node} is from no repository; they have {listed}"


def superseded(node, installed, offered):
    """Return whether the repositories have newer versions only: Debian's keep the newest alone, those of RPM all."""
    newer = [node.run(f"dpkg --compare-versions {installed} lt {version}").ok for version in offered]
    return bool(newer) and all(newer)


def version(node):
    return node.ask("GET", "/version")["Version"]


class Apt:
    """Debian's package manager."""

    def __init__(self, node, bench, *, way_out):
        self._node = node
        self._bench = bench
        self._way_out = way_out

    def owner(self, path):
        """Return the package that a file belongs to; empty if none."""
        found = self._node.run(f"dpkg-query -S {path}")
        return found.out.partition(":")[0] if found.ok else ""

    def changed(self, package, path):
        """Return how a file differs from its package; empty if it does not."""
        lines = self._node.run(f"dpkg --verify {package}").out.splitlines()
        return next((line for line in lines if line.split()[-1] == path), "")

    def versions(self, package):
        """Return the installed version, and those in the repositories; None for these if they cannot be asked."""
        installed, offered = self._policy(package)
        if not offered and not self._node.run("ls /var/lib/apt/lists/*_Packages*").ok:
            if not self._way_out:
                return installed, None
            # Into folders of the test, so that the node's own lists stay as they are.
            lists = f"-o Dir::State::Lists={self._bench.folder()} -o Dir::Cache={self._bench.folder()}"
            limit = f"-o Acquire::Retries=0 -o Acquire::http::Timeout={scaled(10):.0f}"
            updated = self._node.run(f"timeout {scaled(120):.0f} apt-get {lists} {limit} --error-on=any update")
            if not updated.ok:
                raise LabError(f"{self._node} has a way out, and cannot ask its package repositories: {last(updated)}")
            _, offered = self._policy(package, lists)
        return installed, offered

    def _policy(self, package, options=""):
        """Return the installed version, and those with a repository, as ``apt-cache policy`` lists them."""
        installed, offered, row = "", [], ""
        for line in self._node.run(f"LC_ALL=C apt-cache {options} policy {package}").out.splitlines():
            if found := re.match(r" (\*\*\*|   ) (\S+) -?\d+$", line):
                row = found[2]
                installed = row if found[1] == "***" else installed
            elif row and re.match(r"\s+-?\d+ [a-z+]+:/", line):
                offered.append(row)
        return installed, list(dict.fromkeys(offered))


class Yum:
    """CentOS's package manager; its methods are those of `Apt`."""

    def __init__(self, node):
        self._node = node

    def owner(self, path):
        found = self._node.run(f"rpm -qf --queryformat '%{{NAME}}' {path}")
        return found.out.strip() if found.ok else ""

    def changed(self, package, path):
        lines = self._node.run(f"rpm -V {package}").out.splitlines()
        return next((line for line in lines if line.split()[-1] == path and "5" in line.split()[0]), "")

    def versions(self, package):
        # First its own lists (-C), which are enough if the repositories cannot be reached any more.
        for cached in ("-C", ""):
            listed = self._node.run(f"LC_ALL=C yum -q {cached} list {package} --showduplicates").out.splitlines()
            rows = [line.split() for line in listed if line.startswith(f"{package}.")]
            installed = next((row[1] for row in rows if row[-1].startswith("@") or row[-1] == "installed"), "")
            offered = [row[1] for row in rows if not row[-1].startswith("@") and row[-1] != "installed"]
            if offered:
                return installed, offered
        return installed, None
