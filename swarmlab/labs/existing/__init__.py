"""The lab that is a swarm which exists, reached over SSH."""
