"""services: filters of lists, and counts; plugins: volumes of a plugin's driver."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import proxy

#: Takes filters from what is asked of the engine, but not from what the suite must know to go on.
_ALL = """
bare, _, query = path.partition("?")
if method == "GET" and (
    bare.endswith(("/services", "/nodes")) or any(word in query for word in ("desired-state", "is-task", "colour"))
):
    path = bare
"""
#: Changes the volumes of services.
_MOUNTS = """
if method == "POST" and path.endswith("/services/create"):
    told = json.loads(body)
    for mount in told["TaskTemplate"]["ContainerSpec"].get("Mounts") or []:
        {}
    body = json.dumps(told).encode()
"""

FAULTS = [
    ClaimFault(
        "managers take no notice of filters",
        {
            "services/filter-services": "master lists of services with {'name': ",
            "services/filter-tasks": "master lists of tasks with {.*desired_state",
            "services/filter-nodes": "master lists of nodes with {'role': 'manager'}",
            "services/filter-node-labels": "master lists of nodes with {'node.label'",
            "services/filter-containers": "master lists by is-task",
            "services/filter-unknown-refused": "by colour, and did not refuse that filter: it answered",
        },
        script=proxy(asked=_ALL),
        nodes=("master",),
        formed=True,
    ),
    ClaimFault(
        "managers count no running tasks",
        {"services/status-counts": r"master counts of swc-every-.* \(0, 3\), and it has \(3, 3\)"},
        answers={"/services": (r'"RunningTasks":\d+', '"RunningTasks":0')},
        run="swarm ports and networks",
    ),
    ClaimFault(
        "managers make volumes without a driver",
        {"plugins/volume-placed": "of the volume's driver only slave02 has the plugin, and tasks run elsewhere"},
        script=proxy(asked=_MOUNTS.format('mount.pop("VolumeOptions", None)')),
        nodes=("master",),
    ),
    ClaimFault(
        "managers make volumes without their options",
        {"plugins/volume-mounted": "made a volume with swc-word-.*, and its task finds nothing"},
        script=proxy(asked=_MOUNTS.format('mount["VolumeOptions"]["DriverConfig"].pop("Options", None)')),
        nodes=("master",),
    ),
]
