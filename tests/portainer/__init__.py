"""A test double of Portainer, an external product whose image this project cannot make.

It has the part of Portainer's HTTP API that the suites use, so that they can be seen to pass and to fail. It is given
to a run as Portainer's image would be: ``python -m tests.portainer.pack FILE``, then ``--image portainer=FILE``.
"""
