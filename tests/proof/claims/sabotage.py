"""A plugin that breaks the clusters of a run: ``pytest -p tests.proof.claims.sabotage``.

The environment variable FAULTS holds the names of the faults, as a JSON list.
"""

from __future__ import annotations

import json
import os
import re

import requests

from swarmlab.cluster.swarm import Swarm
from swarmlab.labs import base, speed
from swarmlab.labs.containers.lab import DindLab
from tests.proof.claims.faults import FAULTS

#: A wait that must fail takes its whole deadline; on a machine that is busy with other runs that would be hours.
_SLOWEST_CONTAINERS = 4.0


def pytest_configure():
    names = json.loads(os.environ["FAULTS"])
    faults = [fault for fault in FAULTS if fault.name in names]
    if any("su - hadoop" in fault.script for fault in faults):
        DindLab.keys_everywhere = True
    for fault in faults:
        if fault.lab == DindLab.kind:
            speed.MOST = _SLOWEST_CONTAINERS
        if fault.formed:
            _break_swarms(fault)
        else:
            base.on_new_node.append(lambda node, fault=fault: fault.plant([node]))
        DindLab.pretended.update(fault.offers)
        if fault.answers:
            _lie(fault.answers)
        if fault.asks:
            _mishear(fault.asks)


def _break_swarms(fault):
    form = Swarm.form.__func__

    def form_broken(cls, nodes, **how):
        swarm = form(cls, nodes, **how)
        fault.plant(swarm.nodes)
        return swarm

    Swarm.form = classmethod(form_broken)


def _lie(answers):
    request = requests.Session.request

    def lying(self, method, url, **how):
        reply = request(self, method, url, **how)
        for path, (what, instead) in answers.items():
            if url.endswith(path) and method == "GET":
                reply._content = re.sub(what, instead, reply.text).encode()
        return reply

    requests.Session.request = lying


def _mishear(asks):
    request = requests.Session.request

    def misheard(self, method, url, **how):
        for path, (what, instead) in asks.items():
            if url.endswith(path) and how.get("json") is not None:
                asked = json.dumps(how["json"], separators=(",", ":"))
                how["json"] = json.loads(re.sub(what, instead, asked))
        return request(self, method, url, **how)

    requests.Session.request = misheard
