"""The plugins that every run of pytest in this checkout loads."""

pytest_plugins = [
    "fixtures.claims",
    "fixtures.verdicts",
    "fixtures.allure_labels",
    "fixtures.ending",
    "fixtures.lab",
    "fixtures.preflight",
    "fixtures.cluster",
    "fixtures.profiles",
    "fixtures.workers",
    "fixtures.rehearsal",
]
