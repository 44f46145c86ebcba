"""What is refused of every option, on the command line and in a file: what would count for nothing, and no text."""

from __future__ import annotations

from swarmlab.files import is_text, shown


def mistake(option: str, value: object) -> str:
    """Return what is wrong with the text, or with one of the texts, that an option has; empty if nothing is.

    Args:
        option: its name, for the message.
        value: its value; what is neither a text nor a list of texts is right.
    """
    texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
    if not all(text.strip() for text in texts):
        return f"{option}: is empty; write a value, or leave it out"
    wrong = next((text for text in texts if not is_text(text)), "")
    return f"{option}: {shown(wrong)} is not text in UTF-8; use a name that is" if wrong else ""


def no_effect(option: str, beside: str, why: str = "has no effect") -> str:
    """Return the message that an option counts for nothing beside another."""
    return f"{option}: {why} beside {beside}; leave one of them out"
