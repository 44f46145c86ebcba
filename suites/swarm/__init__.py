"""Tests of what Swarm promises beyond the document: claims/swarm.yaml."""
