"""5.2: Compose beside the engine."""

from fixtures.claims import claim
from suites.support.commands import need_package_manager
from suites.support.stacks import deploy, services
from swarmlab.errors import Blocked
from swarmlab.wait import State, eventually

#: Folders in which docker command lines look for the plugin.
_PLUGINS = "/usr/libexec /usr/lib /usr/local/libexec /usr/local/lib $HOME/.docker"


@claim("5.2/separate-install")
def test_compose_is_no_part_of_the_engines_package(node, lab):
    need_package_manager(node)
    engine = node.run("readlink /proc/$(pgrep -o -x dockerd)/exe").out.strip()
    assert engine, f"no engine runs on {node}"
    rpm = node.run("command -v rpm >/dev/null && rpm -qf " + engine)
    if rpm.ok:
        package = rpm.out.strip()
        files, needed = node.run(f"rpm -ql {package}"), node.run(f"rpm -qR {package}")
    else:
        package = node.run(f"dpkg -S {engine}").out.partition(":")[0]
        if not package and not lab.declared(node.name).packaged:
            raise Blocked(f"the engine of {node} belongs to no package, and the lab does not declare that it does")
        assert package, f"the engine of {node} belongs to no package"
        files = node.run(f"dpkg -L {package}")
        needed = node.run(f"dpkg-query -W -f '${{Depends}} ${{Pre-Depends}}' {package}")
    for asked in (files, needed):
        asked.expect(error=AssertionError)
    programs = [line for line in files.out.splitlines() if line.endswith(("/docker-compose", "/docker-compose-plugin"))]
    assert not programs, f"the engine's package {package} of {node} has {', '.join(programs)}"
    assert "compose" not in needed.out, f"the engine's package {package} of {node} depends on compose: {needed.out}"


@claim("5.2/executable")
def test_docker_compose_is_executable_and_of_the_declared_release(node, lab):
    place = node.run("command -v docker-compose").out.strip()
    assert place, f"{node} has no docker-compose"
    mode = node.host.file(place).mode
    assert mode & 0o111 == 0o111, f"{place} of {node} has the mode {mode:04o}, and is not executable for everybody"
    declared = lab.declared(node.name)
    shown = node.run("docker-compose version --short", user=declared.user or None)
    assert shown.ok, f"{declared.user or 'root'} cannot run docker-compose on {node}: {shown.output}"
    found = "".join(shown.out.split()[-1:])  # a login shell may greet before
    assert found == declared.compose, f"docker-compose of {node} reports {found}, not {declared.compose}"


@claim("5.2/stack-needs-no-compose")
def test_a_stack_is_deployed_where_there_is_no_compose(cluster, stack):
    # Hide it in a mount namespace of the command, so that only the command misses it.
    hide = (
        "mount --make-rprivate / && "  # before util-linux 2.27, unshare leaves the mounts shared with the node's
        f"for file in $(which -a docker-compose) $(ls -d $(for at in {_PLUGINS}; do"
        " echo $at/docker/cli-plugins/docker-compose $at/cli-plugins/docker-compose; done) 2>/dev/null); do"
        " mount --bind /dev/null $file; done; "
    )
    manager = cluster.manager
    for command in ("docker-compose version", "docker compose version"):
        hidden = manager.run(f"unshare --mount sh -c '{hide} {command}'")
        assert not hidden.ok, f"{command} could not be hidden on {manager}: {hidden.output}"
    path = stack.write(f"services:\n  web:\n    image: {cluster.image('web:1')}\n")
    done = deploy(stack, path, before=f"unshare --mount sh -c '{hide}", after="'")
    done.expect(f"on {manager} without compose, docker stack deploy", error=AssertionError)
    eventually(
        lambda: State((found := services(stack)) == {"web": "1/1"}, f"it has {found}"),
        "the stack that was deployed without compose to run its service",
        deadline=60,
    )
