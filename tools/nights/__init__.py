"""The page of nights: what became of each nightly run, night by night, and which claims are flaky."""
