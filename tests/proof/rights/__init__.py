"""Users with and without rights on an engine that is root's. Run by `make proof-rights`, as root."""
