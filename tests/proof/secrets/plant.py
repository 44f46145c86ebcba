"""Values that the owner of a swarm keeps there, in every place that has one, and the search for them in files."""

from __future__ import annotations

import base64
import html
import json
import shlex
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.proof.existing.world import World

#: What programs go by, such as a name in a log, is not looked for; these are. Some look like secrets, some do not.
PLACES = (
    "service-env service-env-url service-env-short service-env-odd service-label service-label-token container-label "
    "service-args service-command health-command log-option log-labels volume-option volume-label mount-source "
    "constraint workdir hosts-entry missing-program task-error stack-env stack-label secret-content config-content "
    "config-label secret-label network-label network-option ipam-option node-label node-label-plain swarm-label "
    "swarm-log-option box-env box-env-plain box-label box-args box-health box-log-option box-missing-program "
    "box-output local-network-label local-network-option local-volume-label local-volume-option image-env image-label "
    "image-history compose-label firewall-comment engine-label engine-proxy engine-log-option engine-log-debug "
    "engine-log-container engine-log-error process-arguments registry-login file"
)
_ODD = {
    "service-env-url": "postgres://shop:{}@db.example:5432/shop",
    "service-env-odd": 'grün "{}" & <5%> it\'s',
    "health-command": "Authorization: Bearer {}",
    "engine-proxy": "http://proxy:{}@proxy.example:3128",
}
_ANIMALS = ("horse", "otter", "heron", "lynx", "badger", "raven", "marten", "stoat")
_COLOURS = ("blue", "amber", "green", "violet", "scarlet", "ivory")


def _words() -> dict[str, str]:
    made = {}
    for place, name in enumerate(PLACES.split()):
        number = 100 + 7 * place
        plain = f"{_COLOURS[place % len(_COLOURS)]}-{_ANIMALS[place % len(_ANIMALS)]}-{number}"
        made[name] = plain if place % 2 else base64.b32encode(f"{name}{number}".encode()).decode().strip("=")[-20:]
    made["service-env-short"] = "zq9x"
    return made


class Planted:
    """The values that were planted.

    Attributes:
        words: The part of each value that is looked for, by its place.
        found: Values that the engines made: tokens, keys; by name.
    """

    def __init__(self, world: World) -> None:
        self.words = _words()
        self.found: dict[str, str] = {}
        self._world = world
        self._plant()

    def value(self, place: str) -> str:
        return _ODD.get(place, "{}").format(self.words[place])

    def _plant(self) -> None:
        world, value = self._world, {place: self.value(place) for place in self.words}
        quoted = {place: shlex.quote(text) for place, text in value.items()}
        manager = world.nodes[0]
        web = world.lab.image("web:1")
        self._of_engines(value)
        for kind in ("secret", "config"):
            content = quoted[f"{kind}-content"]
            label = quoted[f"{kind}-label"]
            manager.run(f"printf %s {content} | docker {kind} create --label owner={label} vault-{kind} -").expect()
        network = f"--label owner={quoted['network-label']} --opt region={quoted['network-option']}"
        ipam = f"--ipam-opt colour={quoted['ipam-option']}"
        world.docker(f"network create --driver overlay --attachable {network} {ipam} vault-net")
        nodes = f"--label-add zone={quoted['node-label-plain']} --label-add api_token={quoted['node-label']}"
        world.docker(f"node update {nodes} {manager.name}")
        create = "service create --detach --restart-max-attempts 2 --restart-delay 1s"
        health = f"curl -sf -H {quoted['health-command']} http://localhost/"
        full = (
            f"--env AWS_SECRET_ACCESS_KEY={quoted['service-env']} --env DB={quoted['service-env-url']} "
            f"--env PIN={quoted['service-env-short']} --env NOTE={quoted['service-env-odd']} "
            f"--label owner={quoted['service-label']} --label token={quoted['service-label-token']} "
            f"--container-label token={quoted['container-label']} --host vault.example:192.0.2.7 "
            f"--workdir /srv/{quoted['workdir']} --network vault-net "
            f"--log-driver json-file --log-opt tag={quoted['log-option']} --log-opt labels={quoted['log-labels']} "
            f"--health-interval 3s --health-cmd {shlex.quote(health)} "
            f"--secret vault-secret --config source=vault-config,target=/etc/vault.conf "
            f"--mount type=volume,src=vault-data,dst=/data,volume-label=owner={quoted['volume-label']}"
        )
        world.docker(f"{create} --name vault_full {full} {web}")
        args = f"{web} httpd -f -h /{quoted['service-args']} -X {quoted['hosts-entry']}"
        world.docker(f"{create} --name vault_args --entrypoint {quoted['service-command']} {args}")
        world.docker(f"{create} --name vault_missing {web} {quoted['missing-program']} --now")
        options = (
            f'volume-opt=type=cifs,volume-opt=device=//192.0.2.9/x,"volume-opt=o=password={value["volume-option"]}"'
        )
        world.docker(f"{create} --name vault_share --mount 'type=volume,src=share,dst=/s,{options}' {web}")
        source = f"type=bind,src=/srv/{value['mount-source']},dst=/b"
        world.docker(f"{create} --name vault_bind --mount {source} {web}")
        world.docker(f"{create} --name vault_place --constraint node.labels.zone=={quoted['constraint']} {web}")
        world.docker(f"{create} --name vault_error {web} /{quoted['task-error']}/run")
        stack = {
            "version": "3.3",
            "services": {
                "app": {
                    "image": web,
                    "environment": {"GREETING": value["stack-env"]},
                    "deploy": {"labels": {"traefik.rule": value["stack-label"]}},
                }
            },
        }
        text = shlex.quote(json.dumps(stack))
        manager.run(f"printf %s {text} > /root/stack.yml && docker stack deploy -c /root/stack.yml vault").expect()

        def more(spec: dict[str, Any]) -> None:
            spec["Labels"] = {"team": value["swarm-label"]}
            options = {"tag": value["swarm-log-option"]}
            spec["TaskDefaults"] = {"LogDriver": {"Name": "json-file", "Options": options}}

        swarm = manager.ask("GET", "/swarm")
        more(swarm["Spec"])
        manager.ask("POST", "/swarm/update", body=swarm["Spec"], version=swarm["Version"]["Index"])
        for node in world.nodes:
            self._on(node, web, value, quoted)
        self._of_swarm()

    def _on(self, node: Any, web: str, value: dict[str, str], quoted: dict[str, str]) -> None:
        docker = self._world.docker
        docker(
            f"network create --label owner={quoted['local-network-label']} "
            f"--opt colour={quoted['local-network-option']} vault-local",
            node,
        )
        docker(
            f"volume create --label owner={quoted['local-volume-label']} --opt type=tmpfs --opt device=tmpfs "
            f"--opt o=size=1m,context={quoted['local-volume-option']} vault-tmp",
            node,
        )
        options = (
            f"--env AWS_SESSION_TOKEN={quoted['box-env']} --env COLOUR={quoted['box-env-plain']} "
            f"--label token={quoted['box-label']} --network vault-local "
            f"--log-opt tag={quoted['box-log-option']} --health-cmd {shlex.quote('test ' + value['box-health'])} "
            f"--label com.docker.compose.project=vault --label note={quoted['compose-label']}"
        )
        script = f"echo {value['box-output']}; sleep 100000; : {value['box-args']}"
        docker(f"run --detach --name vault-box {options} --entrypoint sh {web} -c {shlex.quote(script)}", node)
        node.docker(f"run --detach --name vault-missing {web} {quoted['box-missing-program']}")
        change = f"ENV SETTING={value['image-env']}"
        label = f"LABEL owner={value['image-label']}"
        message = quoted["image-history"]
        docker(f"commit --change '{change}' --change '{label}' --message {message} vault-box vault-image:1", node)
        comment = quoted["firewall-comment"]
        node.run(f"iptables -A INPUT -p tcp --dport 1 -m comment --comment {comment} -j ACCEPT").expect()
        node.run(f"setsid sh -c 'sleep 100000; : {value['process-arguments']}' >/dev/null 2>&1 &")
        login = base64.b64encode(f"shop:{value['registry-login']}".encode()).decode()
        config = json.dumps({"auths": {"registry.example": {"auth": login}}})
        node.run(f"mkdir -p /root/.docker; printf %s {shlex.quote(config)} > /root/.docker/config.json").expect()
        node.run(f"echo {quoted['file']} > /var/tmp/swc-notes/file").expect()

    def _of_engines(self, value: dict[str, str]) -> None:
        """Give the engines settings and log lines of their owner."""
        for node in self._world.nodes:
            known = node.run("cat /etc/docker/daemon.json 2>/dev/null")
            settings = json.loads(known.out or "{}") if known.ok else {}
            settings["debug"] = True  # what is asked of an engine goes into its log then, with environments
            settings["labels"] = [f"rack={value['engine-label']}"]
            text = shlex.quote(json.dumps(settings))
            node.run(f"mkdir -p /etc/docker; printf %s {text} > /etc/docker/daemon.json").expect()
            node.run("kill -HUP $(cat /run/docker.pid)").expect()
            settings["log-opts"] = {"env": value["engine-log-option"]}  # read, and in force from the next start on
            settings["proxies"] = {"http-proxy": value["engine-proxy"]}
            text = shlex.quote(json.dumps(settings))
            node.run(f"printf %s {text} > /etc/docker/daemon.json").expect()
            time = "2026-01-01T00:00:00.000000000Z"
            said = value["engine-log-error"]
            lines = (
                f'time="{time}" level=debug msg="form data: {{\\"Env\\":[\\"A={value["engine-log-debug"]}\\"]}}"',
                f"container prints {value['engine-log-container']}",
                f'time="{time}" level=error msg="fatal task error" error="exec: \\"{said}\\": not found"',
            )
            for line in lines:
                node.run(f"printf '%s\\n' {shlex.quote(line)} >> /var/log/dockerd.log").expect()

    def _of_swarm(self) -> None:
        manager = self._world.nodes[0]
        for role, token in manager.ask("GET", "/swarm")["JoinTokens"].items():
            self.found[f"join token of a {role}"] = token
            self.found[f"secret of the join token of a {role}"] = token.rpartition("-")[2]
        folder = "/var/lib/docker/swarm/certificates"
        key = manager.run(f"cat {folder}/swarm-node.key").out.split("\n")
        self.found |= {
            f"line {place} of the node's key": line for place, line in enumerate(key[1:-2]) if len(line) > 30
        }

    def lock(self) -> None:
        """Have the owner lock the managers, and note the key."""
        printed = self._world.docker("swarm update --autolock=true")
        self.found["unlock key"] = next(word for word in printed.split() if word.startswith("SWMKEY-"))

    def seen_in(self, text: str) -> list[str]:
        """Return the places whose value is in a text, in whatever form."""
        values = {**self.words, **self.found}
        return sorted(name for name, value in values.items() if any(form in text for form in forms(value)))


def forms(value: str) -> Iterator[str]:
    """Yield the forms in which a text may have a value."""
    raw = value.encode()
    yield value
    yield json.dumps(value)[1:-1]
    yield html.escape(value)
    yield urllib.parse.quote(value, safe="")
    yield urllib.parse.quote_plus(value)
    if len(value) > 8:
        yield raw.hex()
        yield raw.hex().upper()
        for shift in range(3):  # within a longer text; the characters at both ends depend on what is beside
            for encode in (base64.b64encode, base64.urlsafe_b64encode):
                inside = encode(b"\0" * shift + raw).decode().rstrip("=")
                yield inside[2 * (shift > 0) + 2 * (shift > 1) : -2]


def in_folder(planted: Planted, folder: Path) -> list[str]:
    """Return a line for each value in a file of a folder, or in a file's name."""
    found = []
    for file in sorted(folder.rglob("*")):
        text = file.name
        if file.is_file():
            data = file.read_bytes()
            text += "\n" + data.decode(errors="replace")
        found += [f"{file.relative_to(folder)}: {place}" for place in planted.seen_in(text)]
    return found
