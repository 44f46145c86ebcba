pytest_plugins = [
    "fixtures.claims",
    "fixtures.verdicts",
    "fixtures.allure_labels",
    "fixtures.lab",
    "fixtures.cluster",
    "fixtures.profiles",
]
