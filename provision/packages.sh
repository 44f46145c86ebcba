# An engine from packages on Debian. Run as root in the folder of the packages:
#
#     sh -eu packages.sh

list=/usr/local/lib/docker-archive.list
units=/etc/systemd/system
export DEBIAN_FRONTEND=noninteractive

# An engine from an archive makes way. Images, containers and the swarm stay, in /var/lib/docker.
archive=
if [ -e $list ]; then
    archive=yes
    systemctl --quiet disable docker.service docker.socket
    xargs rm -f < $list
    rm $list $units/docker.service $units/docker.socket
    systemctl daemon-reload
fi

apt-get -qq -y --no-install-recommends -o Dpkg::Options::=--force-confold -o Dpkg::Options::=--force-unsafe-io \
    install ./*.deb

# Debian leaves a service that it knows from before as it was, which is off.
[ -z "$archive" ] || systemctl --quiet enable docker.service docker.socket
