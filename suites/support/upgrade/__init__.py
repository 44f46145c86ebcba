"""The rehearsal of an upgrade: one cluster that goes from engine to engine, and what it must keep.

`course` takes the steps and watches availability. `estate` and `copied_services` are what it has; `kept` judges
whether it still does. Beside the upgrade, `way_back` tries downgrade and restore, and `second_cluster` plays the
`incidents` that hurt a node. `encrypted_packets` counts what arrives of an encrypted network.
"""
