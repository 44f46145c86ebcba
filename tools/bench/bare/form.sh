# The swarm of the three nodes that tests share.
. "$(dirname "$0")/lib.sh"
form 1 master slave01 slave02
