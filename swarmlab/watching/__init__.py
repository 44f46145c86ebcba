"""Watching a cluster while it is changed: requests, writes, datagrams and events, with times and without gaps."""
