"""1.1: host names, and the mapping of names to addresses in /etc/hosts."""

from fixtures.claims import claim
from fixtures.cluster import on_every_node

pytestmark = on_every_node


@claim("1.1/hostname-file")
def test_etc_hostname_holds_the_name_that_is_in_force(node):
    file = node.run("cat /etc/hostname").out.strip()
    assert file == node.name, f"/etc/hostname of {node} holds {file!r}, not {node.name!r}"
    running = node.run("uname -n").out.strip()
    assert running == file, f"/etc/hostname of {node} holds {file!r}, and the running host name is {running!r}"


@claim("1.1/hosts-mapping")
def test_the_three_names_resolve_through_etc_hosts(cluster, node):
    lines = [line.partition("#")[0].split() for line in node.run("cat /etc/hosts").out.splitlines()]
    for named in cluster.nodes:
        six = ":" in named.address
        mapped = {line[0] for line in lines if named.name in line[1:] and (":" in line[0]) is six}
        listed = " and ".join(sorted(mapped)) or "nothing"
        # As programs resolve it: another source of names may come before the file, or the file may be unused.
        resolved = node.run(f"getent ahostsv{6 if six else 4} {named}").out.splitlines()
        found = sorted({line.split()[0] for line in resolved})
        assert mapped == {named.address}, (
            f"/etc/hosts of {node} maps {named} to {listed}, not to {named.address}; it resolves to {found}"
        )
        assert found == [named.address], f"on {node}, {named} resolves to {found}, its address is {named.address}"
    # DNS may give the same addresses. Where there is no such file, the C library has an order of its own.
    sources = node.run("sed -n 's/^hosts:[[:space:]]*//p' /etc/nsswitch.conf").out.partition("#")[0].split()
    before_dns = sources[: sources.index("dns")] if "dns" in sources else sources
    # systemd's resolver reads the file, too.
    order = f"the order in its /etc/nsswitch.conf is {' '.join(sources)}"
    first = not sources or {"files", "resolve"}.intersection(before_dns)
    assert first, f"{node} does not look host names up in /etc/hosts before DNS: {order}"
