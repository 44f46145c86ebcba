# Docker CE on CentOS 7, in the document's own steps (1.3.1, 1.3.2). Run as root by swarmlab/labs/provision.py, with the
# version as its argument; the document's is 18.03.1-ce.
version=$1

# CentOS 7 is past its end of life: its packages are in the vault, and no longer where the system looks for them.
sed -i -e 's/^mirrorlist=/#mirrorlist=/' -e 's|^#\?baseurl=http://mirror.centos.org/centos/$releasever|baseurl=https://vault.centos.org/7.9.2009|' \
    /etc/yum.repos.d/CentOS-*.repo

# Update yum; add the repository (Docker's own, of the two that the document offers).
yum -y -q update
yum -y -q install yum-utils
yum-config-manager --add-repo https://download.docker.com/linux/centos/docker-ce.repo

# Look at the available versions, then install one. From 18.09 on the command line and containerd are packages of their own.
yum list docker-ce --showduplicates | sort -r
case $version in
    *-ce) yum -y -q install "docker-ce-${version%-ce}.ce" ;;
    *) yum -y -q install "docker-ce-$version" "docker-ce-cli-$version" containerd.io ;;
esac

# The group docker and the cluster user in it.
getent group docker >/dev/null || groupadd docker
id hadoop >/dev/null 2>&1 || useradd --create-home --shell /bin/bash hadoop
usermod -aG docker hadoop

# The lab's registry speaks plain HTTP.
mkdir -p /etc/docker
printf '{\n    "insecure-registries": ["registry:5000"]\n}\n' > /etc/docker/daemon.json

# Start the service now and at every boot.
systemctl enable --now docker

# Docker Compose (5.2).
curl -fsSL "https://github.com/docker/compose/releases/download/1.29.2/docker-compose-$(uname -s)-$(uname -m)" \
    -o /usr/local/bin/docker-compose
chmod +x /usr/local/bin/docker-compose

# What the suites ask with, and collect evidence with.
yum -y -q install openssl nmap-ncat ipvsadm nftables tcpdump
printf 'ip_vs\nip_vs_rr\nbr_netfilter\nvxlan\n' > /etc/modules-load.d/swarm.conf
systemctl restart systemd-modules-load

# Keys are the only way in, and loose modes are refused (1.2).
sed -i -e 's/^#\?PasswordAuthentication .*/PasswordAuthentication no/' -e 's/^#\?StrictModes .*/StrictModes yes/' \
    /etc/ssh/sshd_config
systemctl reload sshd
