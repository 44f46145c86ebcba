"""Options of services' containers: nodes whose runtime is told something else than the service says."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, runtime, wrap

#: The newest of Debian's engines: the default one lacks what some claims are about.
NEWEST = "forky"

#: A filter that forbids a call which nothing makes.
_FILTER = "{'defaultAction': 'SCMP_ACT_ALLOW', 'syscalls': [{'names': ['acct'], 'action': 'SCMP_ACT_ERRNO'}]}"


def told(name, claim, reason, twist, node="slave02", run="options a", engine=""):
    """Return the fault of a node whose runtime is told of containers what *twist* makes of it."""
    return ClaimFault(name, {claim: reason}, script=runtime(twist), nodes=(node,), run=run, engine=engine)


FAULTS = [
    told(
        "a node adds no capability",
        "containers/capability-added",
        "a task on slave02 lacks NET_ADMIN",
        "for kind in spec['process'].get('capabilities', {}).values():\n"
        "    if 'CAP_NET_ADMIN' in kind: kind.remove('CAP_NET_ADMIN')",
    ),
    told(
        "a node drops no capability",
        "containers/capability-dropped",
        "a task on slave01 changes the owner of a file without CHOWN",
        "for kind in spec['process'].get('capabilities', {}).values(): kind.append('CAP_CHOWN')",
        node="slave01",
    ),
    told(
        "a node sets no limit of files",
        "containers/ulimits",
        r"a task on slave02 may open \d+ \d+ files",
        "spec['process']['rlimits'] = []",
    ),
    told(
        "a node sets a limit of files that is too low",
        "containers/ulimits",
        "a task on slave01 may open 32 128 files",
        "for limit in spec['process'].get('rlimits') or []: limit['soft'] = min(limit['soft'], 32)",
        node="slave01",
        run="options b",
    ),
    told(
        "a node limits no processes",
        "containers/pids-limit",
        "processes of a task on slave02 are limited to max, not to 60",
        "spec['linux']['resources']['pids'] = {'limit': -1}",
    ),
    told(
        "a node's roots are never read-only",
        "containers/read-only",
        "a task on slave02 writes to its root",
        "spec['root']['readonly'] = False",
    ),
    told(
        "a node changes environments",
        "containers/environment",
        "in a task on slave02 PLAIN is 'a word'",
        "spec['process']['env'] = [word.split(',')[0] for word in spec['process']['env']]",
    ),
    told(
        "a node fills in no templates",
        "containers/environment-templates",
        "in the task on slave01 templates became .*{{.Task.ID}}",
        "spec['process']['env'] = ['TASK={{.Task.ID}}' if word.startswith('TASK=') else word"
        " for word in spec['process']['env']]",
        node="slave01",
    ),
    ClaimFault(
        "containers have other labels",
        {"containers/labels": "the container on (master|slave0.) has swarm-conformance.outfit=off"},
        answers={"/containers/json": ('"swarm-conformance.outfit":"on"', '"swarm-conformance.outfit":"off"')},
        run="options a",
    ),
    ClaimFault(
        "containers have the labels of their services",
        {"containers/labels": "the container on (master|slave0.) has the label swarm-conformance of the service"},
        answers={
            "/containers/json": (
                '"swarm-conformance.outfit":"on"',
                '"swarm-conformance.outfit":"on","swarm-conformance":""',
            )
        },
        run="options b",
    ),
    told(
        "a node begins in the root",
        "containers/working-directory",
        "a task on slave02 began in /, not in /srv/bytes",
        "spec['process']['cwd'] = '/'",
    ),
    told(
        "a node shows no terminal",
        "containers/tty",
        "a task on slave02 writes to /dev/null, which is no terminal",
        "if spec['process'].get('terminal'): spec['process']['args'] = ['sh', '-c',"
        " 'exec \"$@\" > /dev/null', 'sh', *spec['process']['args']]",
    ),
    ClaimFault(
        "a node gives other host names",
        {
            "names/hostname": "a task on slave02 has the host name other, not swc-of-its-own",
            "names/hostname-template": r"the task on slave02 has the host name other, not swc-\w+",
        },
        script=runtime("spec['hostname'] = 'other'"),
        nodes=("slave02",),
        run="options a",
    ),
    told(
        "a node runs all as root",
        "containers/user-and-groups",
        "a task on slave02 runs as 0:1001, not as 1000:1001",
        "spec['process']['user']['uid'] = 0",
    ),
    told(
        "a node knows no further groups",
        "containers/user-and-groups",
        "a task on slave01 is in the groups .*, not in 1002, 1003",
        "spec['process']['user']['additionalGids'] = []",
        node="slave01",
        run="options b",
    ),
    told(
        "a node makes no kernel settings",
        "containers/sysctls",
        "a task on slave02 has the settings .*'net.ipv4.icmp_echo_ignore_all': '0'",
        "spec['linux'].get('sysctl', {}).pop('net.ipv4.icmp_echo_ignore_all', None)",
    ),
    ClaimFault(
        "a node's init process is none",
        {"containers/init": r"on slave02 \d wait for sleep"},
        script="at=$(command -v docker-init); rm $at\n"
        'printf \'#!/bin/sh\\n[ "$1" = -- ] && shift\\nexec "$@"\\n\' > $at; chmod +x $at',
        nodes=("slave02",),
        run="options a",
    ),
    ClaimFault(
        "the command reads no file of variables",
        {"containers/environment-file": "in a task on (master|slave0.) the variables are .*'FIRST': None"},
        script=wrap(
            '"service create"*--env-file*) for word; do [ -f "$word" ] && : > "$word"; done; exec docker.real "$@"'
        ),
        nodes=("master",),
        run="options a",
    ),
    ClaimFault(
        "what waits for processors reserves fewer",
        {"containers/cpu-reservation": r"to (be|stay) pending: .*@(master|slave0.)"},
        script=background(
            "while sleep 0.5; do for one in $(docker service ls --format '{{.Name}} {{.Replicas}}' | grep ' 0/' |"
            " cut -d ' ' -f 1); do docker service update --detach --reserve-cpu 0.01 $one; done; done"
        ),
        nodes=("master",),
        run="options b",
    ),
    told(
        "a node filters no calls",
        "containers/seccomp-profile",
        "a task on slave02 makes a folder, which its profile forbids",
        "spec['linux'].pop('seccomp', None)",
        run="options new",
        engine=NEWEST,
    ),
    told(
        "a node filters calls of all",
        "containers/seccomp-unconfined",
        r"a task on slave01 is filtered \(mode 2\), though unconfined",
        f"spec['linux'].setdefault('seccomp', {_FILTER})",
        node="slave01",
        run="options new",
        engine=NEWEST,
    ),
    told(
        "a node lets all gain privileges",
        "containers/no-new-privileges",
        "a task on slave02 may gain privileges: NoNewPrivs is not set",
        "spec['process']['noNewPrivileges'] = False",
        run="options new",
        engine=NEWEST,
    ),
    told(
        "a node gives no score",
        "containers/oom-score",
        r"a task on slave02 has the score \d, not 321",
        "spec['process'].pop('oomScoreAdj', None)",
        run="options new",
        engine=NEWEST,
    ),
]
