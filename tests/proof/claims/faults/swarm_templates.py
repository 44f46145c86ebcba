"""Templates and mounts: settings of services that are lost on their way to the managers."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import proxy

#: Placeholders that are not filled in, or with the facts of one task for all.
_ALIKE = r"""
if method == "POST" and path.endswith(("/configs/create", "/secrets/create")):
    spec = json.loads(body)
    spec.pop("Templating", None)
    body = json.dumps(spec).encode()
if method == "POST" and path.endswith("/services/create"):
    spec = json.loads(body)
    box = spec["TaskTemplate"]["ContainerSpec"]
    box["Env"] = [entry.replace("{{.Node.ID}}", "here") for entry in box.get("Env", [])]
    box["Env"] = [entry.replace("on {{.Node.Hostname}}", "on slave01") for entry in box["Env"]]
    box["Hostname"] = box.get("Hostname", "").replace("{{.Task.Slot}}", "1")
    for mount in box.get("Mounts", []):
        mount["Source"] = mount.get("Source", "").replace("{{.Task.Slot}}", "1")
    body = json.dumps(spec).encode()
"""

#: Options of mounts that are left out. A tmpfs of a task that is bound to a node becomes a volume, and a manager makes
#: the folder that a task wants.
_PLAIN = r"""
if method == "POST" and path.endswith("/services/create"):
    spec = json.loads(body)
    box = spec["TaskTemplate"]["ContainerSpec"]
    box.pop("ReadOnly", None)
    for mount in box.get("Mounts", []):
        mount.pop("ReadOnly", None)
        mount.get("TmpfsOptions", {}).pop("SizeBytes", None)
        mount.get("VolumeOptions", {}).pop("DriverConfig", None)
        if mount["Type"] == "bind":
            os.makedirs(mount["Source"])
        if mount["Type"] == "tmpfs" and spec["TaskTemplate"].get("Placement"):
            mount["Type"], mount["Source"] = "volume", "swc-kept-000000"
            mount["VolumeOptions"] = {"Labels": {"swarm-conformance": ""}}
    body = json.dumps(spec).encode()
"""

_UNFILLED = "in the task on .*, {} has its placeholders as they were written"
_WRITTEN = "in the task on .*, {} could be written, which is read-only"

FAULTS = [
    ClaimFault(
        "templates are not filled in for each task",
        {
            "templates/env": r"the task on .* has the variables \['swc-teller-\w+/\w+/here/",
            "templates/hostname": r"the task of slot [23] on .* has the host name h-1-",
            "templates/node-hostname": r"the task on (master|slave02) has host name and variable \[.*'on slave01'\]",
            "templates/mount-source": r"the task of slot [23] runs on .*, which has the volumes swc-slot-\w+-1 of it",
            "templates/config": _UNFILLED.format("/told"),
            "templates/secret": _UNFILLED.format("/run/secrets/told"),
        },
        script=proxy(asked=_ALIKE),
        nodes=("master",),
    ),
    ClaimFault(
        "options of mounts are lost",
        {
            "mounts/tmpfs": r"/scratch has room for 1048576 bytes, and it took 2\d+",
            "mounts/tmpfs-ends-with-task": "the next task on .* finds in its tmpfs what the task before it wrote: file",
            "mounts/volume-options": r"on master has driver, labels and options \('local', .*, None\)",
            "mounts/bind-needs-source": "tasks to run on slave02 alone: .*on master: .*@master running",
            "mounts/read-only-root": _WRITTEN.format("/new"),
            "mounts/read-only": _WRITTEN.format("/shown/file"),
        },
        script=proxy(asked=_PLAIN),
        nodes=("master",),
    ),
]
