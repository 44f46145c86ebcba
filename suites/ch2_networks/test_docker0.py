"""2.1: docker0, and what an engine does for a container that names no network."""

from fixtures.claims import claim


@claim("2.1/docker0")
def test_an_engine_has_a_bridge_docker0(node):
    link = node.run("ip -details -json link show dev docker0")
    assert link.ok, f"{node} has no interface docker0: {link.said}"


@claim("2.1/container-address")
def test_each_container_gets_an_address_of_its_own(bench):
    boxes = [bench.start("client"), bench.start("client")]
    print([bench.address(box) for box in boxes])
