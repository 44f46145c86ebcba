"""The command ``swarmlab``: one module for each verb, with `add_options` and `run`; `main.py` holds the parser."""
