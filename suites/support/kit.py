"""A service whose tasks have many options at once: what they see and may do is looked at once for several tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suites.support.service_options import knowing, noted, on_every_node, seen, version_of, with_options
from swarmlab.cluster.service import Task
from swarmlab.cluster.swarm import Swarm
from swarmlab.parallel import parallel
from swarmlab.versions import parsed

#: Limits of a task: files that it may open (soft and hard), and processes that it may have.
FILES, MOST_FILES, PROCESSES = 64, 128, 60
#: How soon the kernel ends it where memory is short.
OOM_SCORE = 321
#: Its folder, which the image has, its labels, and a variable of its environment.
FOLDER, LABEL, VARIABLE = "/srv/bytes", "swarm-conformance.outfit", "PLAIN"
VALUE = "a word, and = more"

#: Tries what the options are about. Where a file may be written, it is in memory, as the root is read-only.
_TRIES = f"""
say() {{ echo "$1=$2"; }}
say capabilities "$(sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/1/status)"
ip address add 192.0.2.77/32 dev lo 2> /dev/null; say administers_network $?
: > /dev/shm/mine; say writes_memory $?
chown 1 /dev/shm/mine 2> /dev/null; say changes_owner $?
touch /swc-root 2> /dev/shm/why; say writes_root $?
say why_not_root "$(cat /dev/shm/why)"
say files "$(sed -n 's/^Max open files  *\\([0-9]*\\)  *\\([0-9]*\\).*/\\1 \\2/p' /proc/1/limits)"
for turn in 1 2 3 4 5 6 7 8 9 10; do [ -e /dev/shm/opens_one_more ] && break; sleep 0.2; done
for file in opens_last_file opens_one_more; do say $file "$(cat /dev/shm/$file)"; done
say oom_score "$(cat /proc/1/oom_score_adj)"
say folder "$(readlink /proc/1/cwd)"
say output "$(readlink /proc/1/fd/1)"
say hostname "$(hostname)"
tr '\\000' '\\n' < /proc/1/environ | sed 's/^/env_/'
say processes "$(cat /sys/fs/cgroup/pids.max 2> /dev/null || cat /sys/fs/cgroup/pids/pids.max)"
# What follows may fill the limit, so that the shell starts nothing any more.
many() {{ i=0; while [ $i -lt {2 * PROCESSES} ]; do sleep 2 > /dev/null 2>&1 & i=$((i + 1)); done; echo all; }}
started=$( (many) 2> /dev/null)
set -- /proc/[0-9]*; say has_processes $#
say starts_all "${{started:-no}}"
"""


#: Opens files as the task itself does: what is run beside it by `docker exec` may have other limits.
_OPENS = (
    f"bash -c 'exec {FILES - 1}< /dev/null'; echo $? > /dev/shm/opens_last_file;"
    f" bash -c 'exec {FILES}< /dev/null'; echo $? > /dev/shm/opens; mv /dev/shm/opens /dev/shm/opens_one_more;"
    " exec sleep 2147483647"
)


@dataclass(frozen=True)
class Kit:
    """The tasks of the service, and what they saw.

    Attributes:
        service: the service's id.
        name: its name.
        tasks: its tasks, by host name.
        labels: the labels of their containers as their engines list them, by host name.
        facts: what they printed, by host name.
        versions: the version of the API that their engines know, by host name.
    """

    service: str
    name: str
    tasks: Mapping[str, Task]
    labels: Mapping[str, Mapping[str, str]]
    facts: Mapping[str, Mapping[str, str]]
    versions: Mapping[str, str]

    def of(self, lowest: str, *names: str) -> dict[str, Mapping[str, str]]:
        """Return the facts of nodes whose engines know a version of the API, and note those of these *names*."""
        chosen = {node: found for node, found in self.facts.items() if parsed(self.versions[node]) >= parsed(lowest)}
        noted(chosen, *names)
        return chosen


def kit(cluster: Swarm, lowest: str = "1.30") -> Kit:
    """Return the service's tasks and what they saw; they are made once for all tests of a cluster.

    Raises:
        Blocked: a manager's engine does not know the version *lowest* of the API.
    """
    knowing(cluster, lowest)
    made: Kit = cluster.keep("tasks with many options", lambda: _equip(cluster))
    return made


def _equip(cluster: Swarm) -> Kit:
    # An engine leaves out what its version of the API does not have.
    container: dict[str, Any] = {
        "Args": ["sh", "-c", _OPENS],
        "CapabilityAdd": ["CAP_NET_ADMIN"],
        "CapabilityDrop": ["CAP_CHOWN"],
        "ReadOnly": True,
        "Ulimits": [{"Name": "nofile", "Soft": FILES, "Hard": MOST_FILES}],
        "OomScoreAdj": OOM_SCORE,
        "Dir": FOLDER,
        "TTY": True,
        "Hostname": "swc-{{.Node.ID}}",
        "Labels": {LABEL: "on"},
        "Env": [
            f"{VARIABLE}={VALUE}",
            "SERVICE={{.Service.Name}}",
            "TASK={{.Task.ID}}",
            "NODE={{.Node.ID}}",
        ],
    }
    service = with_options(cluster, "kit", container, limits={"Pids": PROCESSES})
    facts = seen(cluster, service, _TRIES)
    tasks = {task.node: task for task in on_every_node(cluster, service)}
    versions = dict(zip(map(str, cluster.nodes), parallel(version_of, cluster.nodes), strict=True))
    labels = {node.name: service.containers(node)[0]["Labels"] for node in cluster.nodes}
    return Kit(service.id, service.name, tasks, labels, facts, versions)
