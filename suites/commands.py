"""Commands that have to succeed, and calls that have to be refused."""

from swarmlab.errors import EngineRefused


def accepted(node, words):
    """What ``docker WORDS`` printed on *node*, where the command has to succeed."""
    done = node.docker(words)
    assert done.ok, f"docker {words} on {node} ended with {done.code}: {done.said}"
    return done.out


def refusal(call, *arguments, **settings):
    """The engine's words where it refuses the call; empty where it does what it was asked."""
    try:
        call(*arguments, **settings)
    except EngineRefused as refused:
        return refused.explanation or str(refused)
    return ""


def last(done):
    """The last line that a command said, for messages; its exit code where it said nothing."""
    return done.said.strip().splitlines()[-1] if done.said.strip() else f"exit {done.code}"
