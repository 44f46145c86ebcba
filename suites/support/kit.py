"""A service whose tasks have many options at once: what they see and may do is looked at once for several tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from suites.support.service_options import knowing, noted, on_every_node, tried, version_of, with_options
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

#: What a task tries. Where a file may be written, it is in memory, as the root is read-only. Its cgroup is the root of
#: those that it sees, unless the engine gives containers the node's cgroup namespace.
_TRIES = f"""
say capabilities "$(sed -n 's/^CapEff:[^0-9a-f]*//p' /proc/self/status)"
ip address add 192.0.2.77/32 dev lo; say administers_network $?
: > /dev/shm/mine; say writes_memory $?
chown 1 /dev/shm/mine; say changes_owner $?
touch /swc-root 2> /dev/shm/why; say writes_root $?
say why_not_root "$(cat /dev/shm/why)"
say files "$(ulimit -Sn) $(ulimit -Hn)"
bash -c 'exec {FILES - 1}< /dev/null'; say opens_last_file $?
bash -c 'exec {FILES}< /dev/null'; say opens_one_more $?
say oom_score "$(cat /proc/self/oom_score_adj)"
say folder "$(pwd -P)"
say output "$(readlink /proc/$$/fd/3)"
say hostname "$(hostname)"
tr '\\000' '\\n' < /proc/$$/environ | sed 's/^/env_/'
own=$(sed -n 's/^0:://p' /proc/self/cgroup)
say processes "$(cat /sys/fs/cgroup$own/pids.max || cat /sys/fs/cgroup/pids.max || cat /sys/fs/cgroup/pids/pids.max)"
# What follows may fill the limit, so that the shell starts nothing more for a while.
many() {{ i=0; while [ $i -lt {2 * PROCESSES} ]; do sleep 5 > /dev/null & i=$((i + 1)); done; echo all; }}
started=$( (many) )
set -- /proc/[0-9]*; say has_processes $#
say starts_all "${{started:-no}}"
"""


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
    service = with_options(cluster, "kit", container, tries=_TRIES, limits={"Pids": PROCESSES})
    facts = tried(cluster, service)
    tasks = {task.node: task for task in on_every_node(cluster, service)}
    versions = dict(zip(map(str, cluster.nodes), parallel(version_of, cluster.nodes), strict=True))
    labels = {node.name: service.containers(node)[0]["Labels"] for node in cluster.nodes}
    return Kit(service.id, service.name, tasks, labels, facts, versions)
