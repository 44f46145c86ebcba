"""The plugins that every run of pytest in this checkout loads."""

pytest_plugins = [
    "fixtures.output",
    "fixtures.claims",
    "fixtures.choosing",
    "fixtures.ending",
    "fixtures.kept",
    "fixtures.shards",
    "fixtures.verdicts",
    "fixtures.allure_labels",
    "fixtures.lab_end",
    "fixtures.lab",
    "fixtures.preflight",
    "fixtures.cluster",
    "fixtures.all_at_once",
    "fixtures.profiles",
    "fixtures.policy",
    "fixtures.workers",
    "fixtures.time_profile",
    "fixtures.rehearsal",
    "fixtures.side_by_side",
    "fixtures.options",
]
