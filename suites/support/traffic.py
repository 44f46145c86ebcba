"""How the suites ask, of which servers, and what they say of the answers."""

from collections import Counter

from swarmlab.cluster.swarm import common
from swarmlab.parallel import parallel
from swarmlab.wait import State, scaled

#: Seconds that a server serves on after SIGTERM where deadlines hold as they are written, and at most.
_LINGER, _LONGEST = 5, 40

#: From what fits into any packet to what needs many; 1400 fits a plain packet and not one that VXLAN wraps.
SIZES = (1024, 1400, 65536, 1048576)
#: By the size of a body, what to ask for; the shortest one leaves room in any packet, headers and all.
SHORT = 3
PATHS = {SHORT: "/healthz"} | {size: f"/bytes/{size}" for size in SIZES}
#: What makes a request of some 1380 bytes, which is one packet where VXLAN leaves 1450 for it.
FILLING = 1280

#: Seconds in which every node is to know of a change, names and ways to tasks alike. What gossip loses where nodes are
#: busy is made good by the exchange of all that engines know, every 30 s (networkdb's bulk sync).
GOSSIP = 45


def hands_over(linger=_LINGER):
    """Settings of a service of the image web whose tasks can be replaced (see `cluster.service.specification`).

    They serve on for *linger* seconds after they were told to end, longer where nodes are slow: requests are sent to a
    container from when it is healthy until the other nodes learn that it is being stopped, which is when it is told to
    end, and that news takes slow nodes longer.
    """
    return {
        "health": ["curl", "-fsS", "http://localhost/healthz"],
        "environment": {"LINGER": f"{min(max(linger, scaled(1.5)), _LONGEST):.0f}"},
        "stop_grace": _LONGEST + 20,
    }


def note_mesh(cluster):
    """Have the evidence show how the mesh of every node shares connections out."""
    for node in cluster.nodes:
        node.ipvs()


def spread(answers):
    """How many of *answers* each container gave; what was no success is counted under its own words."""
    return Counter(answer.container if answer.status == 200 else str(answer) for answer in answers)


def all_answer(tasks, answers):
    """Whether *answers* come from the containers of all *tasks* and from nothing else, and none is missing."""
    nodes = {task.container[:12]: task.node for task in tasks}
    answered = spread(answers)
    silent = [f"{container} on {node}" for container, node in nodes.items() if container not in answered]
    told = {f"{one} on {nodes[one]}" if one in nodes else one: count for one, count in answered.items()}
    return State(set(answered) == set(nodes), f"no answer from {', '.join(silent) or 'none'}; answered {told}")


def all_reached(cluster, probes, tasks, network, sizes=(SHORT,), *, padding=0, timeout=2):
    """Whether every probe fetches bodies of all *sizes* from every task, at the task's own address."""
    lost = {}
    how = " (the request fills a packet)" if padding else ""
    for probe in probes:
        asked = [(task, size) for task in tasks for size in sizes]
        urls = [f"http://{task.addresses[network]}{PATHS[size]}" for task, size in asked]
        given = probe.fetch(urls, timeout=timeout, padding=padding)
        for (task, size), fetched in zip(asked, given, strict=True):
            if fetched.status != 200 or fetched.size != size or fetched.container != task.container[:12]:
                pair = probe.node, cluster.node(task.node)
                lost.setdefault(pair, f"{probe.node} -> {task.node}, {size} bytes{how}: {fetched}")
    return without_loss(lost, cluster.nodes)


def every_size_reached(cluster, probes, tasks, network):
    """`all_reached` for all `SIZES`, after full packets and requests that fill one.

    A long body is handed on in pieces of many packets, also by a link that is too narrow for one full packet; and a
    container that sends a full packet over such a link learns its width, and from then on asks others for smaller ones.
    So what fills a packet comes first, and gets short answers.
    """
    return (
        full_packets_reach(cluster, probes, tasks, network)
        and all_reached(cluster, probes, tasks, network, padding=FILLING, timeout=5)
        and all_reached(cluster, probes, tasks, network, SIZES, timeout=5)
    )


def full_packets_reach(cluster, probes, tasks, network):
    """Whether packets as large as the network's interfaces let them be come from every probe to every other task."""
    lost = {}

    def ask(probe):
        to = {task.addresses[network]: task for task in tasks if task.container != probe.container}
        return to, probe.refused_whole(to)

    for probe, (to, refused) in zip(probes, parallel(ask, probes), strict=True):
        for address, size in refused.items():
            pair = probe.node, cluster.node(to[address].node)
            lost[pair] = f"{probe.node} -> {to[address].node}, a packet of {size} bytes does not pass"
    return without_loss(lost, cluster.nodes)


def without_loss(lost, nodes):
    """Whether no pair of nodes lost anything; *lost* tells by pair (from, to) what became of a request."""
    blame = " and ".join(common(lost, nodes))
    return State(not lost, f"no way between nodes, with {blame}: {'; '.join(lost.values())}" if lost else "all passed")


def strangers(watch, history):
    """Who answered a watch and is no container of a task that was seen, by host name; empty if nobody."""
    known = {task.container[:12] for tasks in history.looks for task in tasks}
    return {name or "a server without name": count for name, count in watch.shares.items() if name not in known}
