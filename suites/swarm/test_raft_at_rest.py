"""What managers keep on their disks of the swarm's configs and secrets."""

import base64
import secrets

import pytest

from fixtures.claims import claim
from swarmlab.errors import LabError
from swarmlab.lists import few


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
    forms = {form: kind for kind, mark in marks.items() for form in (mark, base64.b64encode(mark.encode()).decode())}
    wanted = " ".join(f"-e {form}" for form in forms)
    for manager in managers:
        folder = f"{manager.data_root()}/swarm"
        if not manager.run(f"find {folder}/raft -type f -size +0").out.strip():
            raise LabError(f"{manager} has no file of its log below {folder}/raft")
        found = [line.partition(":") for line in manager.run(f"grep -raoF {wanted} {folder}").out.splitlines()]
        told = [f"a {forms[form]} in {file}" for file, _, form in found]
        assert not told, f"on {manager} the content is readable of {few(dict.fromkeys(told))}"
