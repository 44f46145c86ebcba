"""Chapter 1: the three machines."""

from tests.power.planting import Fault, at_boot, wrap_any

FAULTS = [
    Fault(
        "the way out leads over the cluster network",
        {"1.1/two-interfaces": r"slave01 reaches the outside by \['eth1'"},
        "ip route replace default via 192.168.56.1 dev eth1 metric 1",
        nodes=("slave01",),
        lab="vagrant",
        run="machines 1",
    ),
    Fault(
        "a disk is too small",
        {"1.1/disks": "master is to have a disk of 100 GB"},
        wrap_any("lsblk", '*) lsblk.real "$@" | sed s/107374182400/53687091200/; exit'),
        nodes=("master",),
        lab="vagrant",
        run="machines 1",
    ),
    Fault(
        "another address after a reboot",
        {"1.1/addresses-survive-reboot": "master lost 192.168.56.101 in the reboot.*192.168.56.111"},
        "sed -i s/192.168.56.101/192.168.56.111/ /etc/systemd/network/10-eth1.network",
        lab="vagrant",
        run="machines 2",
    ),
    Fault(
        "another name after a reboot",
        {"1.1/hostname-survives-reboot": "after the reboot its name is imposed"},
        at_boot("hostname imposed"),
        lab="vagrant",
        run="machines 2",
    ),
    Fault(
        "the engine is not enabled",
        {"1.3.2/starts-at-boot": "the docker service of master is disabled"},
        "systemctl disable docker.service",
        lab="vagrant",
        run="machines 2",
    ),
    Fault(
        "the engine does not start at boot",
        {"1.3.2/starts-at-boot": "after the reboot of master the docker service is"},
        at_boot("mount -o bind /dev/null /usr/sbin/dockerd", before="docker.service"),
        lab="vagrant",
        run="machines 3",
    ),
    Fault(
        "enable --now only enables",
        {"1.3.2/enable-now": "the docker service of master is enabled and inactive"},
        wrap_any("systemctl", '"enable --now docker.service") exec systemctl.real enable docker.service'),
        lab="vagrant",
        run="machines 2",
    ),
    Fault(
        "restart does nothing",
        {"1.3.2/service-verbs": "was restarted, and the engine is still"},
        wrap_any("systemctl", '"restart docker.service") exit 0'),
        lab="vagrant",
        run="machines 3",
    ),
    Fault(
        "disable does nothing",
        {"1.3.2/service-verbs": r"\('enabled', 'active'\)"},
        wrap_any("systemctl", '"disable docker.service") exit 0'),
        lab="vagrant",
        run="machines 4",
    ),
]
