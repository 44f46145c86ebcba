"""Faults of the routing mesh and of the machines below it, each with what has to be said of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.proof.planting import END, NO_FDB, Fault, background, drop

#: The control that notices a fault: requests through the mesh, bodies of every size on an overlay network, tasks that
#: are to start everywhere; or none, where nothing fails as yet, and preflight alone speaks.
MESH, BODIES, START, NOTHING = "mesh", "bodies", "start", ""

_BOX = "nsenter --net=/run/docker/netns/ingress_sbox "
#: Keeps the rules of iptables, and puts them back.
_KEEP, _PUT_BACK = "iptables-save > /run/rules", "nft delete table inet firewall; iptables-restore < /run/rules"
#: Keeps the table of the mesh, and puts it back.
_KEEP_TABLE = f"{_BOX} ipvsadm -Sn > /run/table"
_TABLE_BACK = f"{_BOX} ipvsadm -C; {_BOX} ipvsadm -R < /run/table"
#: A firewall of an operator, which knows nothing of the engine.
_FIREWALL = (
    "cat > /run/firewall <<'NFT'\nflush ruleset\ntable inet firewall {\n chain input { type filter hook input priority"
    " 0; policy accept; }\n chain forward { type filter hook forward priority 0; policy drop;"
    " ct state established,related accept; }\n}\nNFT\n"
)


@dataclass(frozen=True)
class Broken(Fault):
    """A fault of the mesh or of a machine.

    Attributes:
        says: A regular expression that what is seen on the nodes must match: node, and cause.
        heal: A script that heals it.
        control: What fails by it.
        rate: Reads and writes a second to which the hypervisor holds the machine's disk; 0 for as many as it can.
    """

    says: str
    heal: str
    control: str = MESH
    rate: int = 0

    def named(self, text: str) -> bool:
        """Whether a text names node and cause."""
        return bool(re.search(self.says, text))


FAULTS = (
    Broken(
        "IPVS has weight 0 for a task",
        r"slave01: IPVS of the routing mesh has weight 0 for task \S+ \(10\.\S+\)",
        f"{_TABLE_BACK}",
        nodes=("slave01",),
        script=f"{_KEEP_TABLE}; {_BOX} ipvsadm -e $(grep -m 1 -e ' -r ' /run/table | sed 's/^-a //; s/-w 1/-w 0/')",
    ),
    Broken(
        "IPVS lacks a task",
        r"slave02: IPVS of the routing mesh lacks task \S+ \(10\.",
        _TABLE_BACK,
        nodes=("slave02",),
        script=f"{_KEEP_TABLE}; {_BOX} ipvsadm -d $(grep -m 1 -e ' -r ' /run/table | sed 's/^-a //; s/ -m -w 1//')",
    ),
    Broken(
        "IPVS has a task that is gone",
        r"master: IPVS of the routing mesh has 10\.0\.0\.199 for \S+, which none of its tasks has",
        _TABLE_BACK,
        nodes=("master",),
        script=f"{_KEEP_TABLE}; {_BOX} ipvsadm -a $(grep -m 1 -e ' -r ' /run/table |"
        " sed 's/^-a //; s/-r [^ ]*/-r 10.0.0.199:0/')",
    ),
    Broken(
        "the table of IPVS is empty",
        r"slave02: the IPVS table of the routing mesh is empty",
        _TABLE_BACK,
        nodes=("slave02",),
        script=f"{_KEEP_TABLE}; {_BOX} ipvsadm -C",
    ),
    Broken(
        "the jump to DOCKER-INGRESS is gone",
        r"slave01: the engine's rules are not whole: .*port \d+/tcp, published by the mesh, is not led on in chain"
        " PREROUTING of table nat",
        "iptables -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS",
        nodes=("slave01",),
        script="iptables -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-INGRESS",
    ),
    Broken(
        "FORWARD drops, and leads nowhere",
        r"slave01: the engine's rules are not whole: chain FORWARD leads to none of the engine's chains",
        _PUT_BACK,
        nodes=("slave01",),
        script=f"{_KEEP}; iptables -P FORWARD DROP; iptables -F FORWARD",
    ),
    Broken(
        "DOCKER-USER drops what comes from outside",
        r"slave02: rules in DOCKER-USER stop what the swarm needs: .*port \d+/tcp, published by the mesh, is dropped",
        _PUT_BACK,
        nodes=("slave02",),
        script=f"{_KEEP}; iptables -I DOCKER-USER -i eth1 -j DROP; iptables -I FORWARD -j DOCKER-USER",
    ),
    Broken(
        "a firewall loads its own rules again and again",
        r"slave02: the engine's rules are not whole: chain FORWARD leads to none of the engine's chains",
        f"{END}; {_PUT_BACK}",
        nodes=("slave02",),
        script=f"{_KEEP}; {_FIREWALL}" + background("while :; do nft -f /run/firewall; sleep 2; done"),
    ),
    Broken(
        "a firewall beside the engine's drops what is forwarded",
        r"slave02: .*nft's table inet firewall: type filter hook forward priority \S+ policy drop",
        "nft delete table inet firewall",
        nodes=("slave02",),
        script=f"{_FIREWALL} sed -i '/^flush/d' /run/firewall; nft -f /run/firewall",
    ),
    Broken(
        "the mesh's end does not forward",
        r"slave01: .*ingress_sbox: ipv4\.ip_forward is 0",
        f"{_BOX} sysctl -w net.ipv4.ip_forward=1",
        nodes=("slave01",),
        script=f"{_BOX} sysctl -w net.ipv4.ip_forward=0",
    ),
    Broken(
        "the mesh's end is cut from its network",
        r"slave02: .*ingress_sbox: link eth0 is down",
        f"{_BOX} ip link set eth0 up",
        nodes=("slave02",),
        script=f"{_BOX} ip link set eth0 down",
    ),
    Broken(
        "tasks see clients' addresses, and answer past the mesh",
        r"slave01: .*ingress_sbox: -A POSTROUTING .*-m ipvs --ipvs -j SNAT",
        f"{_BOX} iptables-restore < /run/nat",
        nodes=("slave01",),
        script=f"{_BOX} iptables-save -t nat > /run/nat; {_BOX} iptables -t nat -D POSTROUTING"
        f" $({_BOX} iptables -t nat -S POSTROUTING | grep ipvs | sed 's/-A POSTROUTING //')",
    ),
    Broken(
        "a node does not know behind which node tasks are",
        r"slave01: in network \S+ 10\.\S+, a task on \w+ \(\S+\), leads to no node",
        "cd /run/docker/netns; for N in 1-*; do nsenter --net=$N sh /run/fdb-$N; done",
        nodes=("slave01",),
        script=NO_FDB,
    ),
    Broken(
        "a node loses packets",
        r"slave01: .*queue netem .*loss",
        "tc qdisc del dev eth1 root",
        nodes=("slave01",),
        script="tc qdisc add dev eth1 root netem loss 40%",
    ),
    Broken(
        "rp_filter is strict, and there are two interfaces",
        r"slave01: rp_filter is strict on eth1, and the node would answer master by eth0: .*\([1-9]\d* packets",
        "sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0; sh /run/way-back",
        nodes=("slave01",),
        # Both have an address on the other network too, with the same last number on both.
        script="A=$(ip -4 -o address show dev eth1 | awk '{ print $4 }'); A=${A%/*}; M=$(getent hosts master | awk"
        " '{ print $1 }'); E=$(ip -4 -o address show dev eth0 | awk '{ print $4 }'); W=${E%.*}.${M##*.};"
        ' echo "ip route del $M/32" > /run/way-back; ip route add $M/32 via $W dev eth0 src $A;'
        " sysctl -w net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth1.rp_filter=1",
    ),
    Broken(
        "the path takes less than overlay networks send",
        r"packets of 1500 bytes are lost, small ones pass: .*slave01",
        "nft delete table ip gremlin",
        BODIES,
        nodes=("slave01",),
        script=drop("udp dport 4789 meta length > 1450"),
    ),
    Broken(
        "an interface has a smaller MTU",
        r"slave02: eth1 has an MTU of 1300, overlay networks send packets of 1500",
        "ip link set eth1 mtu 1500",
        NOTHING,
        nodes=("slave02",),
        script="ip link set eth1 mtu 1300",
    ),
    Broken(
        "the table of connections is full",
        r"slave02: \d+ of 8 connections are tracked",
        "sysctl -w net.netfilter.nf_conntrack_max=$(cat /run/most); nft delete table ip gremlin",
        nodes=("slave02",),
        # The way on which the lab reaches the node needs no room in the table.
        script="sysctl -n net.netfilter.nf_conntrack_max > /run/most;"
        " nft 'add table ip gremlin; add chain ip gremlin in { type filter hook prerouting priority -300; };"
        " add rule ip gremlin in tcp dport 22 notrack;"
        " add chain ip gremlin out { type filter hook output priority -300; };"
        " add rule ip gremlin out tcp sport 22 notrack'; sysctl -w net.netfilter.nf_conntrack_max=8",
    ),
    Broken(
        "the table of neighbours is full",
        # The kernel counts how often it had no room, and drops an entry that is not used where it can.
        r"slave01: (the table of neighbours \(ARP\), of 1 entries, had no room \d+ times"
        r"|.*only here the node: ipv4\.neigh\.default\.gc_thresh3 is 1\b)",
        "cd /proc/sys/net/ipv4/neigh/default; echo 1024 > gc_thresh3; echo 512 > gc_thresh2; echo 128 > gc_thresh1",
        NOTHING,
        nodes=("slave01",),
        script="cd /proc/sys/net/ipv4/neigh/default; echo 0 > gc_thresh1; echo 1 > gc_thresh2; echo 1 > gc_thresh3",
    ),
    Broken(
        "the disk is full",
        r"slave01: 0 MiB free on \S+, 100 % used",
        "rm -f /var/lib/docker/full; systemctl restart docker",
        START,
        nodes=("slave01",),
        script="fallocate -l $(df -B1 --output=avail /var/lib/docker | tail -n 1) /var/lib/docker/full;"
        " dd if=/dev/zero bs=1M >> /var/lib/docker/full 2>/dev/null; df /var/lib/docker",
    ),
    Broken(
        "the disk of a manager is slow",
        r"slave02: (a (write to|flush of) the disk of \S+ takes [0-9.]+ s|the disk of \S+ has ended none of)",
        f"{END}; rm -f /var/lib/docker/planted",
        NOTHING,
        nodes=("slave02",),
        rate=1,
        script=background(
            "while :; do dd if=/dev/zero of=/var/lib/docker/planted bs=4k count=1 conv=fsync; sleep 0.1; done"
        ),
    ),
    Broken(
        "a clock is an hour ahead",
        "slave01 is 3[5-7]\\d\\d s ahead",
        "date -s '-1 hour'",
        NOTHING,
        nodes=("slave01",),
        script="date -s '+1 hour'",
    ),
    Broken(
        "a clock is 91 days ahead",
        r"slave02 is 91\.0 days ahead",
        "date -s '-91 days'; systemctl restart docker",
        NOTHING,
        nodes=("slave02",),
        script="date -s '+91 days'; systemctl restart docker",
    ),
    Broken(
        "ip_vs is unloaded, and kept out",
        # As long as something uses it, it stays loaded until the next boot.
        r"slave02: .*(/etc/modprobe.d/no-ipvs.conf keeps ip_vs from being loaded"
        r"|ip_vs is not loaded, and /etc/modprobe.d/no-ipvs.conf keeps)",
        "rm /etc/modprobe.d/no-ipvs.conf; modprobe -a ip_vs ip_vs_rr; systemctl restart docker",
        nodes=("slave02",),
        script="systemctl stop docker.socket docker; for N in /run/docker/netns/*; do nsenter --net=$N ipvsadm -C;"
        " umount $N; done; echo 'install ip_vs /bin/false' > /etc/modprobe.d/no-ipvs.conf;"
        " for T in 1 2 3 4 5 6 7 8 9; do modprobe -r ip_vs_rr ip_vs && break; sleep 1; done; systemctl start docker",
    ),
)
