"""Evidence: the requests and answers that verdicts are judged from. It is written here only, with secrets redacted."""

from swarmlab.evidence.foreign import decoded, hide_foreign, show_foreign
from swarmlab.evidence.journal import (
    ANSWER_LIMIT,
    ATTACHMENT_LIMIT,
    FIRST_ENTRIES,
    LAST_ENTRIES,
    PICTURE_LIMIT,
    Entry,
    Journal,
    aside,
    diagnose,
    on_failure,
    part,
    picture,
    provisional,
    record,
    recording,
    take_over,
)
from swarmlab.evidence.redaction import redact, scrub
from swarmlab.evidence.times import began, failed, window

__all__ = [
    "ANSWER_LIMIT",
    "ATTACHMENT_LIMIT",
    "FIRST_ENTRIES",
    "LAST_ENTRIES",
    "PICTURE_LIMIT",
    "Entry",
    "Journal",
    "aside",
    "began",
    "decoded",
    "diagnose",
    "failed",
    "hide_foreign",
    "on_failure",
    "part",
    "picture",
    "provisional",
    "record",
    "recording",
    "redact",
    "scrub",
    "show_foreign",
    "take_over",
    "window",
]
