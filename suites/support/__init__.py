"""Shared by the tests of several chapters.

Commands and calls: `commands` (that must succeed or be refused, docker's tables).
One node: `accounts` (throw-away users), `interfaces` (of a network stack), `subnets` (in use, free, overlapping),
`builders` (docker build), `mounts` (of containers), `compose_projects`, `portainer`.
Tasks of the swarm: `placement` (where they run), `task_states` (as every manager lists them), `rolling_updates`,
`stacks`, `traffic` (requests and their answers), `names` (DNS on every node).
Managers: `quorum`, `roles`, `certificates`, `external_ca`.
The rehearsal of an upgrade: the package `upgrade`.
"""
