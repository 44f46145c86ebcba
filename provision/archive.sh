# An engine from a static archive on Debian, as Docker's documentation has it: "Install Docker Engine from binaries" and
# "Configure the daemon with systemd". Run as root in a folder with the archive, docker.service and docker.socket:
#
#     sh -eu archive.sh ARCHIVE

archive=$1
list=/usr/local/lib/docker-archive.list
units=/etc/systemd/system
export DEBIAN_FRONTEND=noninteractive

# Packages of an engine make way. Images, containers and the swarm stay, in /var/lib/docker.
dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 'docker*' 'containerd*' runc 2>/dev/null | sed -n 's/^ii //p' |
    xargs --no-run-if-empty apt-get -qq -y -o Dpkg::Options::=--force-unsafe-io remove

# So do the programs of an archive, of which this one may lack some (docker-containerd became containerd in 18.09).
[ ! -e $list ] || xargs rm -f < $list

# Extract the archive, and move its programs to a folder on the path.
mkdir unpacked
tar -C unpacked --no-same-owner -xzf "$archive"
programs=$(dirname "$(find unpacked -type f -name dockerd)")
find "$programs" -mindepth 1 -maxdepth 1 -type f -printf '/usr/bin/%f\n' > $list
chmod 755 "$programs"/*
mv "$programs"/* /usr/bin/

getent group docker >/dev/null || groupadd --system docker

# Integrate it with systemd: at every boot. A service that is set up stays as it is.
if [ ! -f $units/docker.service ]; then
    install -m 644 docker.service docker.socket $units/
    systemctl daemon-reload
    systemctl --quiet --force enable docker.service docker.socket
fi
