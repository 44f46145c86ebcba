"""A plugin that breaks the clusters of a run: ``pytest -p tests.proof.claims.sabotage``.

The environment variable FAULTS holds the names of the faults, as a JSON list.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re

import requests

from swarmlab.cluster.swarm import Swarm
from swarmlab.labs import provision, speed
from swarmlab.labs.containers.lab import DindLab
from swarmlab.labs.machines.lab import VagrantLab
from tests.proof.claims.faults import FAULTS

#: What has to fail waits until its whole deadline is over; on a machine busy with other runs that would be hours.
_SLOWEST_CONTAINERS = 4.0


def pytest_configure():
    names = json.loads(os.environ["FAULTS"])
    faults = [fault for fault in FAULTS if fault.name in names]
    if any("su - hadoop" in fault.script for fault in faults):
        _share_keys()
    for fault in faults:
        if fault.lab == DindLab.kind:
            speed._MOST = _SLOWEST_CONTAINERS
        if fault.formed:
            _break_swarms(fault)
        else:
            _break_nodes(fault)
        if fault.offers:
            _offer(fault.offers)
        if fault.answers:
            _lie(fault.answers)


def _break_swarms(fault):
    form = Swarm.form.__func__

    def form_broken(cls, nodes, **how):
        swarm = form(cls, nodes, **how)
        for node in swarm.nodes:
            if not fault.nodes or node.name in fault.nodes:
                done = node.run(fault.script)
                assert done.ok, f"{fault.name}: {done.said}"
        return swarm

    Swarm.form = classmethod(form_broken)


def _break_nodes(fault):
    create = DindLab._create_node

    def create_broken(self, *place):
        node = create(self, *place)
        if not fault.nodes or node.name in fault.nodes:
            done = node.run(fault.script)
            assert done.ok, f"{fault.name}: {done.said}"
        return node

    DindLab._create_node = create_broken

    give = VagrantLab.more

    def give_broken(self, count):
        nodes = give(self, count)
        for node in nodes:
            if not fault.nodes or node.name in fault.nodes:
                done = node.run(fault.script)
                assert done.ok, f"{fault.name}: {done.said}"
        return nodes

    VagrantLab.more = give_broken


def _share_keys():
    give = DindLab.more

    def with_keys(self, count):
        nodes = give(self, count)
        provision.share_keys(nodes)
        return nodes

    DindLab.more = with_keys


def _offer(features):
    offers = DindLab.offers.func

    def more(self):
        told = offers(self)
        look = {feature: (lambda: "") if feature in features else why for feature, why in told.look.items()}
        return dataclasses.replace(told, look=look, features=told.features.union(features))

    DindLab.offers = property(more)


def _lie(answers):
    request = requests.Session.request

    def lying(self, method, url, **how):
        reply = request(self, method, url, **how)
        for path, (what, instead) in answers.items():
            if url.endswith(path) and method == "GET":
                reply._content = re.sub(what, instead, reply.text).encode()
        return reply

    requests.Session.request = lying
