"""Chapter 1: the three machines."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import at_boot, background, drop, wrap, wrap_any

#: Changes the version in the running engine's memory, so that the engine reports another one.
_OTHER_VERSION = """python3 - <<'PATCH'
import re, subprocess
pid = subprocess.check_output(["pgrep", "-o", "-x", "dockerd"], text=True).strip()
version = subprocess.check_output(["docker", "version", "-f", "{{.Server.Version}}"], text=True).strip()
program = subprocess.check_output(["readlink", f"/proc/{pid}/exe"], text=True).strip()
with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
    for line in open(f"/proc/{pid}/maps"):
        first, last = (int(place, 16) for place in line.split()[0].split("-"))
        if line.strip().endswith(program) and " r" in line:
            memory.seek(first)
            for found in re.finditer(re.escape(version.encode()), memory.read(last - first)):
                memory.seek(first + found.start())
                memory.write(b"77")
PATCH
docker version -f '{{.Server.Version}}' | grep ^77"""
#: A process that ss takes for the engine, and that leads everybody to it.
_OPEN_BY_TCP = """setsid python3 - >/dev/null 2>&1 <<'RELAY' &
import socket, socketserver, threading
open("/proc/self/comm", "w").write("dockerd")
class Relay(socketserver.BaseRequestHandler):
    def handle(self):
        engine = socket.socket(socket.AF_UNIX)
        engine.connect("/run/docker.sock")
        def pump(source, sink):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        threading.Thread(target=pump, args=(self.request, engine), daemon=True).start()
        pump(engine, self.request)
socketserver.ThreadingTCPServer(("0.0.0.0", 2375), Relay).serve_forever()
RELAY
until ss -Hlntp | grep -q :2375; do sleep 0.1; done"""
#: Makes sshd read its settings again.
_TELL_SSHD = "kill -HUP $(pgrep -o -x sshd)"

FAULTS = [
    ClaimFault(
        "the way out leads over the cluster network",
        {"1.1/two-interfaces": r"slave01 reaches the outside by \['eth1'"},
        script="ip route replace default via 192.168.56.1 dev eth1 metric 1",
        nodes=("slave01",),
        lab="vagrant",
        run="machines 1",
    ),
    ClaimFault(
        "a disk is too small",
        {"1.1/disks": "master must have a disk of 100 GB"},
        script=wrap_any("lsblk", '*) lsblk.real "$@" | sed s/107374182400/53687091200/; exit'),
        nodes=("master",),
        lab="vagrant",
        run="machines 1",
    ),
    ClaimFault(
        "another address after a reboot",
        {"1.1/addresses-survive-reboot": "master lost 192.168.56.101 in the reboot.*192.168.56.111"},
        script="sed -i s/192.168.56.101/192.168.56.111/ /etc/systemd/network/10-eth1.network",
        lab="vagrant",
        run="machines 2",
    ),
    ClaimFault(
        "another name after a reboot",
        {"1.1/hostname-survives-reboot": "after the reboot its name is imposed"},
        script=at_boot("hostname imposed"),
        lab="vagrant",
        run="machines 2",
    ),
    ClaimFault(
        "the engine is not enabled",
        {"1.3.2/starts-at-boot": "the docker service of master is disabled"},
        script="systemctl disable docker.service",
        lab="vagrant",
        run="machines 2",
    ),
    ClaimFault(
        "the engine does not start at boot",
        {"1.3.2/starts-at-boot": "after the reboot of master the docker service is"},
        script=at_boot("mount -o bind /dev/null /usr/sbin/dockerd", before="docker.service"),
        lab="vagrant",
        run="machines 3",
    ),
    ClaimFault(
        "enable --now only enables",
        {"1.3.2/enable-now": "the docker service of master is enabled and inactive"},
        script=wrap_any("systemctl", '"enable --now docker.service") exec systemctl.real enable docker.service'),
        lab="vagrant",
        run="machines 2",
    ),
    ClaimFault(
        "restart does nothing",
        {"1.3.2/service-verbs": "was restarted, and the engine is still"},
        script=wrap_any("systemctl", '"restart docker.service") exit 0'),
        lab="vagrant",
        run="machines 3",
    ),
    ClaimFault(
        "disable does nothing",
        {"1.3.2/service-verbs": r"\('enabled', 'active'\)"},
        script=wrap_any("systemctl", '"disable docker.service") exit 0'),
        lab="vagrant",
        run="machines 4",
    ),
    ClaimFault(
        "names, addresses, keys and system are not the documented",
        {
            "1.1/static-addresses": r"192\.168\.\d+\.103 of slave02 is leased",
            "1.1/mutual-reachability": r"with slave02: (master|slave01) to slave02 at .*: 0 of 3 pings",
            "1.1/hosts-mapping": "/etc/hosts of slave02 maps slave01 to 10.9.8.7 and ",
            "1.1/operating-system": "slave02 runs .*'bullseye'",
            "1.2/ssh-directory-mode": "~hadoop/.ssh of slave02 has mode 0770, not 0700",
            "1.2/ssh-mesh": "master to slave02, whose ~/.ssh has mode 0770: .*Permission denied",
            "1.2/ssh-localhost": "hadoop of slave02 is not let in on localhost",
            "1.2/authorized-keys-mode": "~hadoop/.ssh/authorized_keys of slave02 has mode 0644, not 0600",
            "1.2/key-pair": "~hadoop/.ssh/id_rsa of slave02 is not the private key",
            "1.3.1/from-package": "/usr/local/sbin/dockerd, belongs to no package",
            "1.3.1/engine-version": "slave02 runs engine 77",
            "1.3.1/same-engine-everywhere": "slave02 run 77",
            "1.3.2/docker-group": "hadoop of slave02 is in hadoop, and not in docker",
        },
        script=background(
            "until [ -s ~hadoop/.ssh/known_hosts ]; do sleep 0.1; done\n"
            "chgrp users ~hadoop/.ssh; chmod 770 ~hadoop/.ssh; chmod 644 ~hadoop/.ssh/authorized_keys\n"
            "sed -i s/AAAAB3NzaC1yc2E/AAAAB3NzaC1yc2F/ ~hadoop/.ssh/id_rsa.pub"
        )
        + "ip address change $(ip -4 -o address show dev eth0 | awk '{ print $4 }') dev eth0"
        " valid_lft 7200 preferred_lft 7200\n"
        + drop("icmp type echo-request")
        + "\necho 10.9.8.7 slave01 >> /etc/hosts\n"
        "sed -i s/bookworm/bullseye/ /usr/lib/os-release\n"
        "gpasswd --delete hadoop docker\n" + _OTHER_VERSION + "\nmv /usr/sbin/dockerd /usr/local/sbin/dockerd",
        nodes=("slave02",),
        run="ch1 a",
    ),
    ClaimFault(
        "a host name changed since it was written down",
        {
            "1.1/three-nodes": "the cluster's nodes are .*'imposed'",
            "1.1/hostname-file": "of slave01 holds 'slave01', and",
        },
        script="hostname imposed",
        nodes=("slave01",),
    ),
    ClaimFault(
        "/etc/hostname holds another name",
        {"1.1/hostname-file": "/etc/hostname of slave02 holds 'imposed'"},
        script="echo imposed > /etc/hostname",
        nodes=("slave02",),
        run="ch1 b",
    ),
    ClaimFault(
        "DNS is asked before /etc/hosts",
        {"1.1/hosts-mapping": "slave02 does not look host names up in /etc/hosts before DNS: .* is dns files"},
        script="sed -i 's/^hosts:.*/hosts: dns files/' /etc/nsswitch.conf && grep -q 'dns files' /etc/nsswitch.conf",
        nodes=("slave02",),
        run="ch1 b",
    ),
    ClaimFault(
        "an entry of /etc/hosts is wrong",
        # The node asks the file before DNS, which knows the right address.
        {"1.1/hosts-mapping": r"/etc/hosts of slave01 maps slave02 to 10\.9\.8\.7, .* resolves to \['10\.9\.8\.7'\]"},
        script=r"sed -E 's/^[0-9.]+(.*\bslave02)$/10.9.8.7\1/' /etc/hosts > /run/hosts && cat /run/hosts > /etc/hosts",
        nodes=("slave01",),
        run="ch1 c",
    ),
    ClaimFault(
        "/etc/hosts is not used",
        {"1.1/hosts-mapping": r"on slave02, master resolves to \[\], its address is"},
        script="sed -i 's/^hosts:.*/hosts: dns/' /etc/nsswitch.conf; echo nameserver 192.0.2.1 > /etc/resolv.conf",
        nodes=("slave02",),
    ),
    ClaimFault(
        "there is no way to the outside",
        {"1.1/outside-reachable": "slave01 to be answered by http://deb.debian.org/"},
        # The other nodes seem to have a way out.
        script=wrap_any(
            "curl", '*deb.debian.org*) [ $(uname -n) = slave01 ] && exit 28; printf "151.101.2.132 200"; exit'
        ),
        offers=("internet",),
        run="ch1 b",
    ),
    ClaimFault(
        "sshd asks for passwords",
        {"1.2/unlisted-key-refused": r"slave01 refused .* asks for a password \(password\)"},
        script="sed -i 's/PasswordAuthentication no/PasswordAuthentication yes/' /etc/ssh/sshd_config.d/lab.conf\n"
        + _TELL_SSHD,
        nodes=("slave01",),
        run="ch1 b",
    ),
    ClaimFault(
        "sshd looks for keys elsewhere",
        {"1.2/appending-grants": "appended to authorized_keys of slave02, and is not let in"},
        script="printf 'Match User swc-*\\nAuthorizedKeysFile /etc/ssh/none\\n' >> /etc/ssh/sshd_config\n" + _TELL_SSHD,
        nodes=("slave02",),
        run="ch1 b",
    ),
    ClaimFault(
        "the socket is root's alone",
        {"1.3.2/member-reaches-daemon": r"of slave02 \(in group .*docker\) may not use the daemon: .*denied"},
        script="chgrp root /run/docker.sock",
        nodes=("slave02",),
        run="ch1 b",
    ),
    ClaimFault(
        "another user is in the group docker",
        {"1.3.2/non-member-denied": r"spy of slave01 \(in group spy docker\) may open /var/run/docker.sock"},
        script="useradd --user-group --groups docker spy",
        nodes=("slave01",),
        run="ch1 b",
    ),
    ClaimFault(
        "containers stay",
        {"1.3.2/hello-world": "docker run --rm on slave02 to leave no container"},
        script=wrap('"run --rm"*) shift 2; exec docker.real run "$@"'),
        nodes=("slave02",),
        run="ch1 b",
    ),
    ClaimFault(
        "a key of nobody is let in",
        {"1.2/unlisted-key-refused": "slave02 let a key of master in as hadoop", "1.2/appending-grants": "was not in"},
        script="printf '#!/bin/sh\\necho $1 $2\\n' > /usr/sbin/any-key; chmod 755 /usr/sbin/any-key\n"
        "sed -i '1i AuthorizedKeysCommand /usr/sbin/any-key %t %k\\nAuthorizedKeysCommandUser nobody'"
        " /etc/ssh/sshd_config\n" + _TELL_SSHD,
        nodes=("slave02",),
        run="ch1 c",
    ),
    ClaimFault(
        "sshd does not check modes, and says that it does",
        {"1.2/loose-mode-refused": "sshd of slave01 is set to check modes, and let a key in with"},
        script="cd /etc/ssh/sshd_config.d; sed -i.kept s/StrictModes.*/StrictModes\\ no/ lab.conf;"
        f" {_TELL_SSHD}; sleep 1; mv lab.conf.kept lab.conf",
        nodes=("slave01",),
        run="ch1 c",
    ),
    ClaimFault(
        "the socket is everybody's",
        {
            "1.3.2/non-member-denied": r"swc-user-.* of slave01 \(in group swc-user-.*\) uses the daemon",
            "1.3.2/membership-needs-new-session": "before swc-user-.* of slave01 is a member, docker prints",
        },
        script="chmod 666 /run/docker.sock",
        nodes=("slave01",),
        run="ch1 c",
    ),
    ClaimFault(
        "every run pulls",
        {"1.3.2/first-run-pulls": "slave02 had the image hello, and its second run pulled it"},
        script=wrap('"run --rm"*hello*) docker.real pull registry:5000/hello:latest >/dev/null'),
        nodes=("slave02",),
        run="ch1 c",
    ),
    ClaimFault(
        "the engine listens by TCP too",
        {"1.3.2/non-member-denied": r"of slave02 .* uses the daemon by TCP, at 127\.0\.0\.1:2375"},
        script=_OPEN_BY_TCP,
        nodes=("slave02",),
        run="ch1 d",
    ),
    ClaimFault(
        "hello greets otherwise",
        {"1.3.2/hello-world": "hello on slave02 to greet .*'Good bye!'"},
        script=wrap('"run --rm"*hello*) echo "Good bye!"; exit'),
        nodes=("slave02",),
        run="ch1 d",
    ),
    ClaimFault(
        "the first run takes the image from elsewhere",
        {"1.3.2/first-run-pulls": "slave01 lacked the image hello, and its first run pulled nothing"},
        script=wrap('"run --rm"*hello*) echo "Hello from Docker!"; exit'),
        nodes=("slave01",),
        run="ch1 d",
    ),
    ClaimFault(
        "a running session is given the new membership",
        {"1.3.2/membership-needs-new-session": "a running session on slave02 gets the new membership"},
        script="printf '#!/bin/sh\\nchmod 666 /run/docker.sock\\nexec /usr/sbin/usermod \"$@\"\\n'"
        " > /usr/local/sbin/usermod; chmod 755 /usr/local/sbin/usermod",
        nodes=("slave02",),
        run="ch1 d",
    ),
]
