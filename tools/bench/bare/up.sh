# The lab itself: its network, its registry, and three nodes.
. "$(dirname "$0")/lib.sh"
docker network create "${CREATE[@]}" --driver bridge --subnet "$SUBNET" "$NETWORK" >/dev/null
docker run -d --name "$NETWORK-registry" --network "$NETWORK" --ip "$REGISTRY" --cidfile "$DIR/registry.cid" \
    "${CREATE[@]}" "$REGISTRY_IMAGE" >/dev/null
up master slave01 slave02
