from types import SimpleNamespace

from suites.support.listening import besides_the_swarm, engine_answers
from swarmlab.cluster.node import Result


def service(*ports, planned=()):
    return {"Spec": {"EndpointSpec": {"Ports": list(planned)}}, "Endpoint": {"Ports": list(ports)}}


def port(published, mode="ingress", protocol="tcp"):
    return {"PublishedPort": published, "PublishMode": mode, "Protocol": protocol, "TargetPort": 80}


def test_ports_of_the_swarm_are_no_engines():
    services = [
        service(port(8080), port(5353, protocol="udp"), port(9000, "host")),
        service(port(8081), planned=[port(8082)]),
        {"Spec": {}},
    ]
    members = [
        {"Description": {"Hostname": "m1"}, "ManagerStatus": {"Addr": "192.0.2.1:12377"}},
        {"Description": {"Hostname": "w1"}},
    ]
    cluster = SimpleNamespace(manager=SimpleNamespace(ask=lambda *_: services), members=lambda: members)
    containers = [
        {"Ports": [{"PublicPort": 7000, "Type": "tcp"}, {"PublicPort": 53, "Type": "udp"}, {"PrivatePort": 80}]},
        {"Ports": [{"IP": "::", "PublicPort": 7001}, {"IP": "192.0.2.5", "PublicPort": 2375}]},
        {"Ports": [{"IP": "fd00::5", "PublicPort": 7002}]},
    ]
    node = SimpleNamespace(containers=lambda: containers)
    taken = [f"127.0.0.1:{number}" for number in (2377, 12377, 7946, 8080, 8081, 8082, 7000, 7001)]
    taken += ["192.0.2.5:2375", "[fd00::5]:7002"]
    free = ["127.0.0.1:2375", "127.0.0.1:53", "[fd00::1]:7002", "127.0.0.1:9000"]
    assert besides_the_swarm(cluster, node, taken + free) == free


def test_an_engine_that_answers_by_tls_alone_answers():
    class Machine(SimpleNamespace):
        def run(self, command, **_):
            lines = [line for line in command.split("; ") if self.way in line]
            return Result(command, 1, "engine-1\n" * len(lines), "", "w1")

    def machine(way):
        return Machine(way=way, info=lambda: {"ID": "engine-1"})

    for way in ("docker -H tcp://192.0.2.1:2375 info", "docker --tls -H tcp://192.0.2.1:2375 info"):
        assert engine_answers(machine(way), "192.0.2.1:2375", "guest")
    assert not engine_answers(machine("docker --tlsverify "), "192.0.2.1:2375", "guest")
