"""The suite's power to detect: every test has to fail on a cluster that was broken for it."""
