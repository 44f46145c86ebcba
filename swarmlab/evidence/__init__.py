"""Evidence: the requests and answers that verdicts are judged from. It is written here only, with secrets redacted."""

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
from swarmlab.evidence.redaction import redact, redact_labels, scrub

__all__ = [
    "ANSWER_LIMIT",
    "ATTACHMENT_LIMIT",
    "FIRST_ENTRIES",
    "LAST_ENTRIES",
    "PICTURE_LIMIT",
    "Entry",
    "Journal",
    "aside",
    "diagnose",
    "on_failure",
    "part",
    "picture",
    "provisional",
    "record",
    "recording",
    "redact",
    "redact_labels",
    "scrub",
    "take_over",
]
