"""What every container of this project on an engine of a host is given, whatever that engine's defaults are.

One of its runtimes may be a virtual machine's, and its driver of logs may send them to a server that does not answer.
"""

from __future__ import annotations

from typing import Any

import docker

#: As options of the API (HostConfig).
PLAIN: dict[str, Any] = {"Runtime": "runc", "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m"}}}
#: The same as arguments of docker-py's `containers.run` and `create`, and of `create_host_config`.
PLAINLY: dict[str, Any] = {
    "runtime": PLAIN["Runtime"],
    "log_config": docker.types.LogConfig(type=PLAIN["LogConfig"]["Type"], config=PLAIN["LogConfig"]["Config"]),
}
