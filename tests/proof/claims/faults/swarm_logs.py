"""Logs of services: a command line that lacks an option or does another's work, and nodes that lose lines."""

from tests.proof.claims.fault import ClaimFault
from tests.proof.planting import background, reword, wrap

FAULTS = [
    ClaimFault(
        "the command takes no options",
        {
            "logs/tail": r"of the task on slave0\d --tail=4 gives 243 lines",
            "logs/since": r"--since=.* gives older lines of the task on slave0\d: (out|err)-",
            "logs/names": r"with --no-resolve lines of the task on slave0\d name \{'slave0\d'\}",
            "logs/details": r"0 of 4 lines of the task on slave0\d have SPOKEN|0 of 243",
            "logs/follow": "the followed log of .* to go on with what its tasks write",
        },
        script=wrap(
            reword(
                '"service logs"*',
                ("--tail=*", "--tail=all"),
                ("--since=*", "--tail=all"),
                ("--no-resolve", "--no-trunc"),
                ("--details", "--no-trunc"),
                ("--follow", "--no-trunc"),
            )
        ),
        nodes=("master",),
        run="logs a",
    ),
    ClaimFault(
        "a node loses a line of its logs",
        {"logs/complete": "master, which .*: of the task on slave02 1 of 240 lines are missing, 0 double$"},
        # The engine writes on to the file that it has open, and reads the one that took its place.
        script=background(
            "while sleep 0.1; do for log in $(grep -l '\"out-60\\\\n\"' /var/lib/docker/containers/*/*-json.log); do\n"
            "sed -i '/\"out-60\\\\n\"/d' $log; done; done"
        ),
        nodes=("slave02",),
        run="logs a",
    ),
    ClaimFault(
        "no line has a time",
        {"logs/timestamps": r"lines of the task on slave0\d have no time"},
        script=wrap(reword('"service logs"*', ("--timestamps", "--no-trunc"))),
        nodes=("master",),
        run="logs b",
    ),
    ClaimFault(
        "the command has one stream",
        {"logs/streams-apart": r"standard output of the log has err-1, err-\d+ and \d+ more of the task on slave0\d"},
        script=wrap('"service logs"*) exec docker.real "$@" 2>&1'),
        nodes=("master",),
        run="logs c",
    ),
    ClaimFault(
        "the command turns logs round",
        {"logs/in-order": r"in the log of the task on slave0\d out-120 stands where out-1 belongs"},
        script=wrap('"service logs"*) docker.real "$@" | tac; exit'),
        nodes=("master",),
        run="logs d",
    ),
    ClaimFault(
        "the log of a task is that of its service",
        {"logs/one-task": r"asked for the task on slave0\d, master gives lines of slave0\d too"},
        script=wrap(
            '"service logs"*) for last; do :; done;'
            " of=$(docker.real inspect --type task --format '{{.ServiceID}}' $last 2> /dev/null);"
            ' exec docker.real service logs --no-trunc "${of:-$last}"'
        ),
        nodes=("master",),
        run="logs e",
    ),
    ClaimFault(
        "a terminal's log lacks what was an error",
        {"logs/tty": "to be what they show.* master gives on-a-terminal, on-a-terminal, spoke-1, spoke-1 and"},
        script=wrap('"service logs"*) docker.real "$@" | grep -v spoke-2; exit'),
        nodes=("master",),
        run="logs f",
    ),
    ClaimFault(
        "the command waits for a container that is gone",
        {"logs/container-gone": "docker service logs on master does not end"},
        script=wrap('"service logs"*) exec sleep 1000'),
        nodes=("master",),
        run="logs g",
    ),
]
