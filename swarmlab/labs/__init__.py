"""Labs: how nodes come to be, one package a kind; `swarmlab.labs.registry` lists the kinds."""
