from types import SimpleNamespace

from suites.support.health import SECOND, slow_starter
from swarmlab import wait


def test_a_slow_starter_is_given_time_by_the_speed_of_its_node(monkeypatch):
    monkeypatch.setattr(wait, "_scale", 20)
    spec = {"TaskTemplate": {"ContainerSpec": {}}}
    slow_starter(SimpleNamespace(create_service=lambda *_, alter, **__: alter(spec)))
    check = spec["TaskTemplate"]["ContainerSpec"]["Healthcheck"]
    assert check["Timeout"] * check["Retries"] >= 20 * 300 * SECOND
