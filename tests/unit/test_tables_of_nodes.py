"""Whose a table of a node's packet filter is, and whether it is left over."""

import os
import subprocess
import sys
import time

from swarmlab.cluster import tables
from swarmlab.cluster.leavings import _of_node
from swarmlab.cluster.tables import LOOK, Table, listed
from tests.unit.test_leavings import Engine


def signed(name=f"{LOOK}1"):
    return Table(name, (*tables.signature(), "arrivals"))


def test_a_table_of_a_look_that_takes_place_is_not_left():
    assert not signed().left


def test_a_table_of_a_process_that_ended_is_left():
    made = "from swarmlab.cluster import tables; print(*tables.signature())"
    names = subprocess.run([sys.executable, "-c", made], capture_output=True, text=True, check=True).stdout.split()
    assert Table(f"{LOOK}1", tuple(names)).left
    # The process number is another process's now.
    by, at = tables.signature()
    assert Table(f"{LOOK}1", (f"by_{os.getpid():x}_1_{by.split('_')[-1]}", at)).left


def test_of_another_machine_the_time_counts():
    now = int(time.time())
    assert not Table(f"{LOOK}1", ("by_1_1_0", f"at_{now:x}")).left
    assert Table(f"{LOOK}1", ("by_1_1_0", f"at_{now - 7200:x}")).left
    assert Table(f"{LOOK}1", ("arrivals",)).left


def test_names_fit_into_old_kernels():
    names = [tables.new(), *tables.signature(), f"by_{2**22:x}_{2**34:x}_{tables._here()}"]
    assert all(len(name) <= 31 for name in names), names


def test_tables_that_are_left_are_leavings_and_others_are_not():
    by, at = tables.signature()
    living = f"table {LOOK}1 {by} {at} arrivals"
    lines = [living, f"table {LOOK}2 arrivals", "table swarmlab_fault incoming", "table swarmlab_preflight arrivals"]
    assert len(list(listed(["table ip nat", *lines]))) == len(lines)
    found = _of_node(Engine(volumes={"Volumes": []}, machine="\n".join(lines)), "")
    left = [str(leaving) for leaving in found if leaving.kind == "table"]
    assert left == [f"table {name} on master" for name in (f"{LOOK}2", "swarmlab_fault", "swarmlab_preflight")]
