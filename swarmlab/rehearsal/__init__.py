"""Rehearsing an upgrade: is it safe to move a swarm from one engine to another?"""
