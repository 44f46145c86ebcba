"""A test double of Portainer, an external product whose image this project cannot make.

It has the part of Portainer's HTTP API that the suites use, so that the suites can be seen to pass and to fail. Pack it
with ``python -m tests.doubles.portainer.pack FILE``, and use it in a run in place of Portainer's image: ``--image
portainer=FILE``.
"""
