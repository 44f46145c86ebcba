"""Faults for preflight, each with the finding that it must lead to."""

from __future__ import annotations

from dataclasses import dataclass

from tests.proof.planting import NO_FDB, Fault, clock, drop, filtering


@dataclass(frozen=True)
class PreflightFault(Fault):
    """A fault that preflight must find.

    The finding must name the nodes where the fault is planted; without `nodes` it is about the cluster.

    Attributes:
        check: The check that finds it.
        level: The level of the finding.
        finding: A regular expression that the finding's text must match.
        because: A regular expression for the finding that it must follow from; empty if it follows from none.
        mend: A regular expression that the finding's mend must match.
    """

    check: str
    level: str
    finding: str
    because: str = ""
    mend: str = ""


def started_by(command: str) -> str:
    """Have *command* start the node's engine from its next start on."""
    return (
        f"D=$(command -v dockerd) && mv $D $D.real && printf '#!/bin/sh\\nexec {command} \"$@\"\\n' > $D && chmod +x $D"
    )


def also_set(setting: str) -> str:
    """Have daemon.json hold another setting besides those that it has."""
    return f"sed -i '0,/{{/s//{{{setting}, /' /etc/docker/daemon.json"


#: A dockerd that also listens where anybody may ask it, and gives containers other limits than its like.
OPEN_SOCKET = started_by("dockerd.real --host=tcp://127.0.0.1:2375 --default-ulimit=nofile=4096:4096")
#: A dockerd that refuses clients which are older than it is.
NEWEST_API_ONLY = started_by("env DOCKER_MIN_API_VERSION=1.44 dockerd.real")

#: A VMware network card, as far as /sys and ethtool show: no such card is at hand.
VMWARE = (
    "mkdir /tmp/cards; cd /sys/class/net; for L in *; do mkdir /tmp/cards/$L; for F in mtu address; do"
    " cat $L/$F > /tmp/cards/$L/$F; done; done;"
    " mkdir /tmp/cards/eth0/device; ln -s /nowhere/vmxnet3 /tmp/cards/eth0/device/driver;"
    " printf '#!/bin/sh\nprintf \"Features for $2:\\\\n\\\\ttx-checksum-ip-generic: on\\\\n\"\n' > /usr/sbin/ethtool;"
    " chmod +x /usr/sbin/ethtool; mount --bind /tmp/cards /sys/class/net"
)

#: A container that was started with a profile of another time, as far as its bundle shows.
OLD_PROFILE = (
    "mkdir -p /run/docker/libcontainerd/planted; "
    'echo \'{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["faccessat2"]}]}}}\''
    " > /run/docker/libcontainerd/planted/config.json"
)

#: In the state of the cluster and the settings of its nodes. Those without a script are made by the test.
STATE = [
    PreflightFault("two managers", "odd-managers", "warning", "2 managers, an even number"),
    PreflightFault("autolock is on", "autolock", "info", "autolock"),
    PreflightFault(
        "a worker is drained",
        "availability",
        "warning",
        "worker with availability drain",
        nodes=("slave02",),
    ),
    PreflightFault(
        "a manager is drained",
        "availability",
        "info",
        "manager with availability drain",
        nodes=("slave01",),
    ),
    PreflightFault(
        "certificates are good for an hour",
        "node-certificates",
        "warning",
        r"valid for [01]\.\d hours",
        nodes=("slave02",),
    ),
    PreflightFault(
        "no node fits a constraint",
        "stuck-tasks",
        "warning",
        r"1 task of nowhere pending .*no suitable node",
        because="availability: slave02: worker with availability drain",
    ),
    PreflightFault(
        "tasks get no address", "stuck-tasks", "error", r"\d+ tasks? of crowd new", because="subnets: network within"
    ),
    PreflightFault(
        "a network is full",
        "free-addresses",
        "error",
        r"network narrow has 0 of 14 addresses left",
    ),
    PreflightFault(
        "a network with a range is full",
        "free-addresses",
        "error",
        r"network ranged has 0 of 4 addresses left",
    ),
    PreflightFault(
        "a node has its address where a network is",
        "subnets-and-routes",
        "error",
        r"network narrow has 10\.78\.0\.0/28, which 10\.78\.0\.9 of slave02 is in",
        nodes=("slave02",),
        script="ip address add 10.78.0.9/32 dev eth0",
    ),
    PreflightFault(
        "a route leads where a network is",
        "subnets-and-routes",
        "warning",
        r"routed has 10\.77\.5\.0/24, .*10\.77\.0\.0/16 by eth0",
        nodes=("slave01",),
        script="ip route add 10.77.0.0/16 dev eth0",
    ),
    PreflightFault(
        "a name server is where a network is",
        "subnets-and-routes",
        "warning",
        r"routed has .*name server 10\.77\.5\.53",
        nodes=("slave03",),
        script="echo nameserver 10.77.5.53 >> /etc/resolv.conf",
    ),
    PreflightFault(
        "the address pool has the host's network",
        "subnets-and-routes",
        "info",
        r"pool 10\.0\.0\.0/8 has the host's 10\.77\.0\.0/16",
        nodes=("slave01",),
    ),
    PreflightFault(
        "a node filters by iptables-legacy",
        "iptables-backend",
        "warning",
        "iptables is legacy, and the engine's rules are in nf_tables",
        nodes=("slave02",),
        script="update-alternatives --set iptables /usr/sbin/iptables-legacy",
    ),
    PreflightFault(
        "a rule of iptables-legacy is left",
        "legacy-rules",
        "warning",
        "1 rules of iptables-legacy",
        nodes=("slave01",),
        script="iptables-legacy -A INPUT -s 203.0.113.9 -j ACCEPT",
    ),
    PreflightFault(
        "the engine is set to nftables",
        "engine-firewall",
        "error",
        "firewall-backend is nftables, from its next start on",
        nodes=("slave02",),
        script='echo \'{"firewall-backend": "nftables"}\' > /etc/docker/daemon.json',
    ),
    PreflightFault(
        "a volume was made before its stack was changed",
        "volumes",
        "warning",
        "volume stored is not made as stored asks for: option o",
        nodes=("slave03",),
    ),
    PreflightFault(
        "a volume is of another kind on one node",
        "volumes",
        "warning",
        "volume mixed of mixed differs from that on .*: option device, option type",
        nodes=("slave03",),
    ),
    PreflightFault(
        "an engine listens without encryption",
        "daemon-sockets",
        "error",
        r"open on (http|tcp)://127\.0\.0\.1:2375 without encryption",
        nodes=("slave03",),
    ),
    PreflightFault(
        "a container's seccomp profile knows no clone3",
        "seccomp-profile",
        "warning",
        r"seccomp profile of .* containers refuses what today's images call: .*clone3",
        nodes=("slave03",),
        script=OLD_PROFILE,
    ),
    PreflightFault(
        "docker_gwbridge is gone",
        "gateway-bridge",
        "error",
        "no interface of that name",
        nodes=("slave03",),
        script="ip link delete docker_gwbridge",
    ),
    PreflightFault(
        "docker_gwbridge is down",
        "gateway-bridge",
        "error",
        "docker_gwbridge is down or has no address",
        nodes=("slave02",),
        script="ip link set docker_gwbridge down",
    ),
    PreflightFault(
        "docker_gwbridge has no address",
        "gateway-bridge",
        "error",
        "docker_gwbridge is down or has no address",
        nodes=("slave01",),
        script="ip address flush dev docker_gwbridge",
    ),
    PreflightFault(
        "a node does not forward",
        "forwarding",
        "error",
        "ip_forward is 0",
        nodes=("slave02",),
        script="sysctl -w net.ipv4.ip_forward=0",
    ),
    PreflightFault(
        "a disk is full",
        "disk",
        "error",
        r"[01] MiB free on /run",
        nodes=("slave02",),
        script="mount -o remount,size=$(($(df -Pk /run | awk 'NR == 2 {print $3}') + 1100))k /run",
    ),
    PreflightFault(
        "firewalld runs",
        "firewalld",
        "warning",
        "firewalld runs",
        nodes=("slave01",),
        script="cp /bin/sleep /tmp/firewalld; setsid /tmp/firewalld 3600 >/dev/null 2>&1 </dev/null &",
    ),
    PreflightFault(
        "inotify instances run out",
        "limits",
        "warning",
        r"inotify: \d+ of 64 instances used",
        nodes=("slave03",),
        script="echo 64 > /tmp/few; mount --bind /tmp/few /proc/sys/fs/inotify/max_user_instances",
    ),
    PreflightFault(
        "memory runs out",
        "limits",
        "warning",
        r"50 of \d+ MiB of memory are available",
        nodes=("slave03",),
        script="sed 's/^MemAvailable:.*/MemAvailable: 51200 kB/' /proc/meminfo > /tmp/memory;"
        " mount --bind /tmp/memory /proc/meminfo",
    ),
    PreflightFault(
        "threads run out",
        "limits",
        "warning",
        r"\d+ of 50 threads are there",
        nodes=("slave03",),
        script="echo 50 > /tmp/threads; mount --bind /tmp/threads /proc/sys/kernel/pid_max",
    ),
    PreflightFault(
        "a name server does not answer",
        "name-servers",
        "warning",
        r"name server 10\.77\.5\.53 does not answer",
        nodes=("slave03",),
    ),
    PreflightFault(
        "a node has name servers of its own",
        "name-servers-alike",
        "info",
        r"10\.77\.5\.53 with \d search domains on slave03",
        nodes=("slave03",),
    ),
    PreflightFault(
        "a route leads where a bridge is",
        "bridges",
        "error",
        r"bridge \(docker0\) has 172\.17\.0\.0/16, which overlaps the host's 172\.17\.9\.0/24 by eth0",
        nodes=("slave02",),
        script="ip route add 172.17.9.0/24 dev eth0",
    ),
    PreflightFault(
        "machines have one machine id",
        "copies",
        "info",
        "2 machines have the machine id 0123456789abcdef",
        nodes=("slave02", "slave03"),
        script="echo 0123456789abcdef0123456789abcdef > /etc/machine-id",
    ),
    PreflightFault(
        "a service publishes a port of the swarm's own",
        "service-needs",
        "error",
        "taken publishes port 7946/tcp by the mesh, which is the swarm's: gossip",
    ),
    PreflightFault(
        "a program listens on a port of the mesh",
        "service-needs",
        "warning",
        "another program listens on port 8099/tcp, which heard publishes by the mesh",
        mend="docker service update --publish-rm 80 --publish-add OTHER:80 heard",
        nodes=("slave03",),
        script="setsid python3 -m http.server 8099 >/dev/null 2>&1 </dev/null &",
    ),
    PreflightFault("a network lies within another", "subnets", "error", "network within was given no subnet"),
    PreflightFault(
        "certificates are made for an hour", "swarm-settings", "warning", r"certificates are made for 1\.0 hours"
    ),
    PreflightFault(
        "an engine keeps containers over its restart",
        "engine-restart",
        "error",
        "live-restore is on, with which no engine starts in a swarm",
        nodes=("master",),
        script=also_set('"live-restore": true'),
    ),
    PreflightFault(
        "an engine is to make no rules",
        "engine-rules",
        "error",
        r"set to make no rules, from its next start on \(iptables: false\)",
        nodes=("slave01",),
        script=also_set('"iptables": false'),
    ),
    PreflightFault(
        "a script of a firewall removed the engine's rules",
        "engine-rules",
        "error",
        r"chain FORWARD (leads to none of the engine's chains|does not lead to DOCKER).*"
        r"no masquerading of .*network docker_gwbridge",
        nodes=("slave03",),
        script="iptables -F; iptables -t nat -F",
    ),
    PreflightFault(
        "an engine gives containers other limits",
        "engine-settings",
        "warning",
        "default ulimits: not alike on slave03 and master, slave01, slave02",
        nodes=("slave03",),
    ),
    PreflightFault(
        "a clock is 40 s ahead",
        "clocks",
        "warning",
        "slave01 is (39|40|41) s ahead",
        nodes=("slave01",),
        script=clock(40),
    ),
]

#: On a node that has a rule of iptables-legacy, if `STATE` is planted too, that may be what drops packets.
BY_A_RULE = "^$|^legacy-rules: slave01"

#: In the ways between the nodes.
WAYS = [
    # As far as the kernel tells: the table itself is shared with other nodes of a container lab. The packets that are
    # dropped on this node below stand for those that such a table has no room for.
    PreflightFault(
        "a table of connections is full",
        "limits",
        "warning",
        r"\d+ of 1 connections are tracked",
        nodes=("slave02",),
        script="echo 1 > /tmp/full; mount --bind /tmp/full /proc/sys/net/netfilter/nf_conntrack_max",
    ),
    PreflightFault(
        "gossip by TCP is dropped",
        "port-gossip-tcp",
        "error",
        r"master -> slave01 \(silent\), slave02 -> slave01 \(silent\)",
        because=BY_A_RULE,
        nodes=("slave01",),
        script=drop("tcp dport 7946"),
    ),
    # In the last chain: connection tracking sees these packets, and yet they never arrive.
    PreflightFault(
        "gossip by UDP is dropped",
        "port-gossip-udp",
        "error",
        "gossip does not arrive: master -> slave02, slave01 -> slave02, slave03",
        because="limits: slave02: .*connections are tracked",
        nodes=("slave02",),
        script="iptables -I INPUT -p udp --dport 7946 -j DROP",
    ),
    PreflightFault(
        "VXLAN packets are dropped",
        "port-data-udp",
        "error",
        r"UDP to port (7789|4789) does not arrive: master -> slave02, .*slave03 -> slave02",
        because="limits: slave02: .*connections are tracked",
        nodes=("slave02",),
        script=drop("udp dport { 4789, 7789 }"),
    ),
    PreflightFault(
        "an interface has a smaller MTU",
        "path-mtu",
        "warning",
        "eth0 has an MTU of 1400, overlay networks send packets of 1500",
        nodes=("master",),
        script="ip link set eth0 mtu 1400",
    ),
    PreflightFault(
        "large packets are lost",
        "path-mtu",
        "error",
        r"packets of 1500 bytes are lost, small ones pass: .*slave01 -> master",
        because="path-mtu: master: eth0 has an MTU of 1400",
        nodes=("master",),
    ),
]

#: A manager does not answer one node; the test plants it, as only a running cluster knows the node's address.
MANAGEMENT = PreflightFault(
    "a manager does not answer one node",
    "port-management-tcp",
    "error",
    r"^slave03 -> slave01 \(silent\)$",
    because=BY_A_RULE,
    nodes=("slave01",),
)

#: Nodes that are not of the swarm any more; the test moves them.
STRAYS = [
    PreflightFault(
        "a node that was removed runs on",
        "membership",
        "error",
        "^it was removed from the swarm of master, slave01, and its engine does not know$",
        mend="on slave03: docker swarm leave --force",
        nodes=("slave03",),
    ),
    PreflightFault(
        "a manager has made a swarm of its own",
        "membership",
        "error",
        "^it is in a swarm of its own, and not in that of master, slave01$",
        nodes=("slave02",),
    ),
]
FIRST_STRAYED = PreflightFault(
    "the first manager has made a swarm of its own",
    "membership",
    "error",
    "^it is in a swarm of its own, and not in that of slave01, slave02$",
    nodes=("master",),
)
#: A manager that is cut off, and goes on alone: as soon as it is heard, the others take over what it has.
GONE_ON_ALONE = [
    PreflightFault(
        "a manager is cut off from all",
        "paths",
        "error",
        "no packet passes between .*slave02",
        nodes=("slave02",),
    ),
    PreflightFault(
        "a manager goes on alone with the swarm's state",
        "membership",
        "error",
        r"^it is in a swarm of its own, and not in that of master, slave01, .*--force-new-cluster\)$",
        because="^paths: slave02: no packet passes",
        nodes=("slave02",),
    ),
]

#: The swarm's state on disk is partly gone; the test puts it back.
TORN = [
    PreflightFault(
        "the swarm's log is gone from a manager",
        "engine-restart",
        "error",
        "^swarm/raft is gone from the engine's data folder",
        mend="on another manager: docker node demote slave01",
        nodes=("slave01",),
        script="mv /var/lib/docker/swarm/raft /var/lib/docker/swarm/raft.away",
    ),
    PreflightFault(
        "a node's certificate is gone",
        "engine-restart",
        "error",
        r"^swarm/certificates/swarm-node\.crt is gone from the engine's data folder",
        nodes=("slave02",),
        script="cd /var/lib/docker/swarm/certificates && mv swarm-node.crt /root/",
    ),
    PreflightFault(
        "a certificate that is gone cannot be read",
        "node-certificates",
        "unknown",
        r"swarm-node\.crt.*No such file",
        because=r"engine-restart: slave02: swarm/certificates/swarm-node\.crt is gone",
        nodes=("slave02",),
    ),
]

#: A node that does not let out what is for others; what others send it arrives.
HELD_BACK = [
    PreflightFault(
        "a node lets out no gossip by TCP",
        "port-gossip-tcp",
        "error",
        r"^slave01 -> master \(silent\), slave01 -> slave02 \(silent\)$",
        mend="iptables -I OUTPUT -p tcp --dport 7946 -j ACCEPT",
        nodes=("slave01",),
        script="iptables -I OUTPUT -p tcp --dport 7946 -j DROP",
    ),
    PreflightFault(
        "a node lets out no VXLAN packets",
        "port-data-udp",
        "error",
        "does not arrive: slave01 -> master, slave01 -> slave02$",
        mend="iptables -I OUTPUT -p udp --dport 4789 -j ACCEPT",
        nodes=("slave01",),
        script="iptables -I OUTPUT -p udp --dport 4789 -j DROP",
    ),
]

#: A node with a firewall of its owner's beside the engine's rules, and another whose disk has failed.
FILTERED = [
    PreflightFault(
        "packets are filtered by somebody else",
        "packets",
        "info",
        "only here the node: nft's table inet firewall: type filter hook forward priority .* policy accept",
        nodes=("slave01",),
        script="nft 'add table inet firewall;"
        " add chain inet firewall forward { type filter hook forward priority 10; policy accept; }'",
    ),
    PreflightFault(
        "one packet in three is dropped",
        "packets",
        "info",
        r"only here .*the node: -t filter -A FORWARD -s \* -m statistic --mode random --probability \S+ -j DROP",
        nodes=("slave01",),
        script="iptables -A FORWARD -s 203.0.113.9 -m statistic --mode random --probability 0.3 -j DROP",
    ),
    PreflightFault(
        "a port is closed before connections are tracked",
        "packets",
        "info",
        r"only here .*the node: -t raw -A PREROUTING .*--dport \* -j DROP",
        nodes=("slave01",),
        script="nft list table ip raw >/dev/null 2>&1 || touch /run/no-raw;"
        " iptables -t raw -I PREROUTING -p tcp --dport 9999 -j DROP",
    ),
    PreflightFault(
        "a firewall drops what is forwarded",
        "packets",
        "warning",
        r"nft's table inet guard: type filter hook forward priority .* policy drop; and no rule accepts a new",
        mend='nft insert rule inet guard forward oifname "docker_gwbridge" accept',
        nodes=("slave02",),
        script="nft 'add table inet guard;"
        " add chain inet guard forward { type filter hook forward priority 10; policy drop; };"
        " add rule inet guard forward ct state established,related accept'",
    ),
    PreflightFault(
        "an interface of an overlay network is left",
        "tunnels",
        "warning",
        r"the VXLAN interface vx-00fffe-gone \(number 65534\) is left in the node's own namespace",
        mend="ip link delete vx-00fffe-gone",
        nodes=("slave02",),
        script="ip link add vx-00fffe-gone type vxlan id 65534 dstport 4790",
    ),
    PreflightFault(
        "the disk of the engine's data is mounted read-only",
        "disk",
        "error",
        "/var/lib/docker, where the engine's data is, is mounted read-only",
        nodes=("slave02",),
        # What the engine has open stays as it is.
        script="mount --bind /var/lib/docker /var/lib/docker && mount -o remount,ro,bind /var/lib/docker",
    ),
]
FILTERED_NO_MORE = {
    "slave01": "nft delete table inet firewall;"
    " iptables -D FORWARD -s 203.0.113.9 -m statistic --mode random --probability 0.3 -j DROP;"
    " iptables -t raw -D PREROUTING -p tcp --dport 9999 -j DROP;"
    " [ ! -e /run/no-raw ] || nft delete table ip raw; rm -f /run/no-raw",
    "slave02": "umount -l /var/lib/docker; nft delete table inet guard; ip link delete vx-00fffe-gone",
}
#: A node whose kernel does with packets what those of the others do not.
ROUTED_ASTRAY = [
    PreflightFault(
        "the default route is gone",
        "packets",
        "info",
        "not as elsewhere the node: default route is by eth0",
        nodes=("slave01",),
        script="ip route show default > /run/default && ip route del default",
    ),
    PreflightFault(
        "an interface does not forward",
        "packets",
        "info",
        r"only here the node: ipv4\.conf\.eth0\.forwarding is 0",
        nodes=("slave01",),
        script="sysctl -w net.ipv4.conf.eth0.forwarding=0",
    ),
    PreflightFault(
        "connections are soon forgotten",
        "packets",
        "info",
        r"only here .*the node: netfilter\.nf_conntrack_tcp_timeout_established is 300",
        nodes=("slave01",),
        script="sysctl -n net.netfilter.nf_conntrack_tcp_timeout_established > /run/timeout"
        " && sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=300",
    ),
    PreflightFault(
        "a neighbour has a fixed hardware address",
        "packets",
        "info",
        "only here .*the node: a permanent entry for a neighbour by eth0",
        nodes=("slave01",),
        script="ip neigh replace 203.0.113.1 lladdr 02:00:00:00:00:01 nud permanent dev eth0",
    ),
]
ROUTED_AGAIN = {
    "slave01": "ip route add $(cat /run/default); sysctl -w net.ipv4.conf.eth0.forwarding=1;"
    " sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=$(cat /run/timeout);"
    " ip neigh del 203.0.113.1 dev eth0",
}
#: Clocks that are further off than certificates allow for.
FAR_OFF = [
    PreflightFault(
        "a clock is an hour behind",
        "clocks",
        "error",
        r"slave01 is (3599|3600|3601) s behind",
        nodes=("slave01",),
        script=clock(-3600),
    ),
    PreflightFault(
        "a clock is 91 days ahead",
        "clocks",
        "error",
        r"slave02 is 91\.0 days ahead",
        nodes=("slave02",),
        script=clock(91 * 86400),
    ),
]
#: A node that would answer another one by an interface of which nothing comes back.
REVERSED = PreflightFault(
    "answers leave by another interface, and rp_filter is strict",
    "reverse-path",
    "error",
    r"rp_filter is strict on eth0, and the node would answer master by eth9: .*dropped",
    nodes=("slave02",),
    script="ip link add eth9 type veth peer name eth8 && ip link set eth8 up && ip link set eth9 up"
    " && sysctl -w net.ipv4.conf.eth0.rp_filter=1",
)
#: A node on which the entries of one overlay network are gone.
LED_ASTRAY = PreflightFault(
    "a node does not know behind which node tasks are",
    "tunnels",
    "error",
    r"in network ingress 10\.\S+, a task on \w+ \(\S+\), leads to no node",
    nodes=("slave01",),
    script=NO_FDB,
)

CARD = PreflightFault(
    "a VMware card",
    "checksum-offload",
    "warning",
    "eth0 is vmxnet3 with tx-checksum-ip-generic on",
    nodes=("slave01",),
    script=VMWARE,
)

#: A manager that no packet of the others reaches, nor its packets them; the test chooses one that does not lead.
CUT_OFF = PreflightFault(
    "a manager is cut off",
    "paths",
    "error",
    r"no packet passes between \w+ and \w+, \w+ and \w+$",
)

#: A manager that is switched off.
LOST = [
    PreflightFault("a lost engine", "engines-answer", "error", "does not answer", nodes=("slave02",)),
    PreflightFault(
        "a lost manager",
        "membership",
        "error",
        "all managers reachable: .*slave02 unreachable",
        because="engines-answer: slave02",
    ),
    PreflightFault(
        "a lost node", "membership", "error", "all nodes ready: .*slave02 down", because="engines-answer: slave02"
    ),
    PreflightFault(
        "no manager to spare",
        "quorum",
        "error",
        "2 of 3 managers can be reached, 0 of them may be lost",
        because="engines-answer: slave02",
        nodes=("slave02",),
    ),
]

#: Name servers of which tasks make something else, by engine.
RESOLVERS = [
    PreflightFault(
        "ndots is written with a blank",
        "name-servers",
        "error",
        "malformed option 'ndots:'",
        nodes=("slave01",),
        script="echo 'options ndots: 2' >> /etc/resolv.conf",
    ),
    PreflightFault(
        "the name servers are local ones",
        "name-servers",
        "warning",
        r"local name servers only \(127\.0\.0\.1\)",
        nodes=("slave02",),
        script="echo nameserver 127.0.0.1 > /etc/resolv.conf",
    ),
    PreflightFault(
        "the local name server does not answer",
        "name-servers",
        "error",
        r"name server 127\.0\.0\.1 does not answer",
        nodes=("slave02",),
    ),
    PreflightFault(
        "there is no name server",
        "name-servers",
        "warning",
        "no name server",
        nodes=("slave03",),
        script=": > /etc/resolv.conf",
    ),
]

#: A network of engines that take it so.
HOST_BITS = PreflightFault(
    "a subnet has bits beyond its mask",
    "subnets-host-bits",
    "info",
    r"network odd has 10\.90\.0\.1/24, with bits beyond the mask: its subnet is 10\.90\.0\.0/24",
)

#: In the addresses of nodes, one after another; the test plants and heals them, as it knows the addresses.
ROUTED = PreflightFault(
    "a route gives packets another source",
    "source-addresses",
    "warning",
    r"its packets arrive at master, .* from \S+\.201 of its eth0, and not from its address",
    nodes=("slave01",),
)
TRANSLATED = PreflightFault(
    "a packet filter gives packets another source",
    "source-addresses",
    "warning",
    r"its packets arrive at master, .* from \S+\.210, which none of its interfaces has",
    nodes=("slave02",),
)
TAKEN = PreflightFault(
    "another node has the address of a node",
    "same-addresses",
    "error",
    r"the address \S+ of slave01 is also on slave03",
    nodes=("slave01", "slave03"),
)
GONE = PreflightFault(
    "the advertised address is on no interface",
    "advertised-addresses",
    "error",
    r"advertises \S+, which none of its interfaces has; it has eth0 \S+\.190",
    nodes=("slave03",),
)
DATA_GONE = PreflightFault(
    "the data path address is on no interface",
    "advertised-addresses",
    "error",
    r"takes the data of overlay networks at 10\.66\.0\.2, which none of its interfaces has",
)
SEEN_ELSEWHERE = PreflightFault(
    "a node talks to managers from another address",
    "known-addresses",
    "warning",
    r"its connection to the managers came from \S+\.190, another address of it; it advertises",
    nodes=("slave03",),
    because="advertised-addresses: slave03|^$",
)
NAMED_ALIKE = PreflightFault(
    "two nodes have one host name",
    "host-names",
    "warning",
    r"2 nodes have the host name slave02: \w+ \(ready\), \w+ \(ready\)",
    nodes=("slave02", "slave03"),
)
COPIED = PreflightFault(
    "a node is a copy of another",
    "copies",
    "error",
    r"2 machines have the node id \w+: slave03 .*slave04",
    nodes=("slave03", "slave04"),
)

#: Two engines, of which one takes no older API.
APART = [
    PreflightFault("no common API", "api-versions", "error", "no version of the API is spoken by all engines"),
    PreflightFault("one manager", "quorum", "info", "one manager"),
    PreflightFault("two engine versions", "engine-versions", "warning", r"20\.10\.24.*28\.5\.2"),
]

#: A registry that a node does not reach.
NO_REGISTRY = filtering("tcp dport 5000 drop", hook="output", chain="out")

#: A registry of a node's own that wants a login: engines ask those of their own node without encryption.
CLOSED_REGISTRY = """cat > /run/closed.py <<'REGISTRY'
import http.server
class Closed(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="closed"')
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)
    do_HEAD = do_GET
http.server.ThreadingHTTPServer(("127.0.0.1", 5001), Closed).serve_forever()
REGISTRY
setsid python3 /run/closed.py >/dev/null 2>&1 </dev/null &"""

#: In services and tasks, and in what nodes hold of them. The test makes the services.
WORK = [
    PreflightFault(
        "a mount that no node has",
        "replicas",
        "error",
        r"nomount runs 0 of 2 replicas: \d+ tasks rejected within \d+ s: .*bind source path does not exist",
        nodes=("slave01",),
    ),
    PreflightFault(
        "a program that fails at once",
        "replicas",
        "error",
        r"failing runs [01] of 1 replicas: \d+ tasks failed within \d+ s: task: non-zero exit \(3\)",
    ),
    PreflightFault(
        "a program that takes more memory than its limit",
        "replicas",
        "error",
        r"hungry runs [01] of 1 replicas: \d+ tasks failed within \d+ s: killed for lack of memory \(limit 32 MiB\)",
        mend="docker service update --limit-memory",
    ),
    PreflightFault(
        "a program that ends at once",
        "replicas",
        "warning",
        r"ending runs [01] of 1 replicas: \d+ tasks ended within \d+ s",
    ),
    PreflightFault(
        "a container that is never healthy",
        "replicas",
        "error",
        r"sick runs [01] of 1 replicas: \d+ tasks failed within \d+ s: .*unhealthy container",
    ),
    PreflightFault(
        "restarts that are used up",
        "replicas",
        "error",
        r"attempts runs 0 of 1 replicas: its restarts are used up \(condition on-failure, 2 attempts\), .*exit \(5\)",
    ),
    PreflightFault(
        "a service that is never restarted",
        "replicas",
        "error",
        r"never runs 0 of 1 replicas: its restarts are used up \(condition none\), .*exit \(4\)",
    ),
    PreflightFault(
        "a global service that a node rejects",
        "replicas",
        "error",
        r"agent runs on 2 of 3 nodes: \d+ tasks rejected",
        nodes=("slave02",),
        script="rmdir /run/there",
    ),
    PreflightFault(
        "an update that is paused", "updates", "warning", "the update of pausing is paused, [01] of 2 replicas"
    ),
    PreflightFault("an update that was rolled back", "updates", "warning", "the last update of back failed and was"),
    PreflightFault(
        "a registry that one node does not reach",
        "registries",
        "error",
        r"it cannot ask the registry registry:5000, .*can: ",
        nodes=("slave01",),
        script=NO_REGISTRY,
    ),
    PreflightFault(
        "an image that cannot be pulled",
        "replicas",
        "error",
        r"noimage runs 0 of 1 replicas: \d+ tasks? rejected within \d+ s: .*[Nn]o such image",
        nodes=("slave01",),
        because="registries: slave01",
    ),
    PreflightFault(
        "a registry that wants a login",
        "replicas",
        "error",
        r"closed runs 0 of 1 replicas: \d+ tasks? rejected within .*[Nn]o such image.*; the registry wants a login$",
        mend="docker login 127.0.0.1:5001; .*--with-registry-auth closed",
        nodes=("slave02",),
        script=CLOSED_REGISTRY,
    ),
    PreflightFault(
        "a digest that the registry does not have",
        "images",
        "error",
        r"the registry does not have the digest of nodigest, .* lacks? it too",
        nodes=("slave02",),
    ),
    PreflightFault(
        "nodes that run other content under one tag",
        "images",
        "warning",
        r"odd runs different content of registry:5000/odd:1: ",
    ),
    PreflightFault(
        "a container that does not end",
        "stuck-tasks",
        "warning",
        r"1 task of tough running, though to be removed for over 40 s",
        nodes=("slave02",),
    ),
    PreflightFault(
        "a container that is paused",
        "task-containers",
        "error",
        r"the container of still\.1 is paused, while the managers count it as running",
        nodes=("slave02",),
    ),
    PreflightFault(
        "a task whose program is stopped",
        "task-containers",
        "error",
        r"the container of frozen\.1 is held up: \S+ is stopped \(SIGSTOP\)",
        nodes=("slave02",),
    ),
    PreflightFault(
        "a container that no manager knows",
        "task-containers",
        "warning",
        "a container of ghost runs whose task the managers do not know",
        nodes=("slave02",),
    ),
    PreflightFault(
        "a container that left its network",
        "task-networks",
        "error",
        r"the container of apart\.1 is not on network app, while the managers have it there",
        nodes=("slave02",),
    ),
    PreflightFault(
        "names that a node does not hear of",
        "task-names",
        "error",
        r"on network app the node does not know tasks that run: .*late",
        because="task-networks: slave02|^$",
    ),
    PreflightFault("a heartbeat that is slow", "swarm-settings", "warning", "nodes send a heartbeat every 60 s"),
    PreflightFault(
        "a volume driver that no node has",
        "service-needs",
        "warning",
        "novolume asks for the volume driver nope",
    ),
]
#: The same, where the engines know jobs, and pools of subnets.
WORK_OF_JOBS = PreflightFault(
    "a job that cannot complete",
    "replicas",
    "error",
    r"job has done 0 of 1 tasks: its restarts are used up \(condition none\)",
)
WORK_OF_POOLS = PreflightFault(
    "a pool without subnets", "address-pool", "warning", r"[12] of 4 subnets of the swarm's pool are free"
)

IDENTITIES = [ROUTED, TRANSLATED, TAKEN, GONE, DATA_GONE, SEEN_ELSEWHERE, NAMED_ALIKE, COPIED]
FAULTS = [
    *STATE,
    *WAYS,
    MANAGEMENT,
    REVERSED,
    LED_ASTRAY,
    *TORN,
    *STRAYS,
    FIRST_STRAYED,
    *GONE_ON_ALONE,
    *HELD_BACK,
    *FAR_OFF,
    *FILTERED,
    *ROUTED_ASTRAY,
    CARD,
    CUT_OFF,
    *LOST,
    *APART,
    *RESOLVERS,
    HOST_BITS,
    *IDENTITIES,
    *WORK,
    WORK_OF_JOBS,
    WORK_OF_POOLS,
]

#: Checks for which nothing is planted, and why.
UNPLANTED = {
    "load-balancers": "the kernel of a container lab's host may lack IPVS; tests/proof/mesh plants it on machines",
    "disk-speed": "nodes of a container lab share the host's disk; tests/proof/mesh plants it on machines",
    "kernel-modules": "nodes of a container lab share the host's kernel; every test sees the finding if it lacks IPVS",
    "known-defects": "it follows from the engine's version alone, so every test sees the finding",
    "root-certificate": "a swarm signs its root certificate for 20 years; an old one needs an authority of its own",
}
