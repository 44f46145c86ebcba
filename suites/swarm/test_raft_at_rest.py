"""What managers keep on their disks of the swarm's configs and secrets."""

import base64
import secrets

import pytest

from fixtures.claims import claim
from swarmlab.errors import LabError


@claim("autolock/nothing-readable-on-disk")
@pytest.mark.cluster(managers=3, workers=0, standing=True)
def test_configs_and_secrets_are_readable_in_no_file_of_a_manager(cluster):
    marks = {kind: secrets.token_hex(24) for kind in ("config", "secret")}
    managers = cluster.managers
    for kind, mark in marks.items():
        data = base64.b64encode(mark.encode()).decode()
        body = {"Name": cluster.unique(kind), "Labels": {cluster.label: ""}, "Data": data}
        made = managers[0].ask("POST", f"/{kind}s/create", body=body)["ID"]
        for manager in managers:  # each has taken it into its log before it lists it
            assert manager.ask("GET", f"/{kind}s/{made}")["ID"] == made
    for manager in managers:
        log = f"{manager.data_root()}/swarm/raft"
        size = manager.run(f"cat $(find {log} -type f) | wc -c").out.strip()
        if not size.isdigit() or int(size) == 0:
            raise LabError(f"{manager} has no file of its log below {log}")
        for kind, mark in marks.items():
            forms = {mark, base64.b64encode(mark.encode()).decode()}
            wanted = " ".join(f"-e {form}" for form in forms)
            found = manager.run(f"grep -rlaF {wanted} {manager.data_root()}/swarm").out.split()
            assert not found, f"on {manager} the content of a {kind} is readable in {', '.join(found)}"
