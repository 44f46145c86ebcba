"""Docker's statements about the steps of a path of engines."""

import pytest

from swarmlab.images.engines import engine_choice
from swarmlab.rehearsal.upstream import statements


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            ["18.03.1", "19.03.15", "20.10.24"],
            ["18.03.1-ce to 19.03.15: not supported", "18.03.1-ce to 19.03.15: From 18.09 on", "While managers"],
        ),
        (["20.10.24", "23.0.6"], ["While managers"]),
        (["20.10.5", "20.10.24"], []),
        (["27.5.1", "29.1.2"], ["27.5.1 to 29.1.2: not supported", "27.5.1 to 29.1.2: Clients", "While managers"]),
    ],
)
def test_steps_that_docker_does_not_support_are_said_so(path, expected):
    said = list(statements([engine_choice(name) for name in path]))
    assert [line[: len(beginning)] for line, beginning in zip(said, expected, strict=True)] == expected


def test_skipped_lines_are_named():
    [first, *_] = statements([engine_choice("19.03.15"), engine_choice("25.0.3")])
    assert "skips 20.10, 23, 24 (docker/docs#11403)" in first
