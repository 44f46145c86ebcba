"""Options of a service's containers, by what tasks on different nodes see and may do."""

from fixtures.claims import claim
from suites.support.kit import FILES, FOLDER, LABEL, MOST_FILES, OOM_SCORE, PROCESSES, VALUE, VARIABLE, kit

#: Bits of the kernel's set of capabilities.
CHOWN, NET_ADMIN = 1 << 0, 1 << 12


@claim("containers/capability-added")
def test_tasks_have_the_capability_that_is_added(cluster):
    for node, seen in kit(cluster, "1.41").of("1.41", "capabilities", "administers_network").items():
        assert int(seen["capabilities"], 16) & NET_ADMIN, f"a task on {node} lacks NET_ADMIN: {seen['capabilities']}"
        assert seen["administers_network"] == "0", f"a task on {node} has NET_ADMIN, and may not set an address"


@claim("containers/capability-dropped")
def test_tasks_lack_the_capability_that_is_dropped(cluster):
    for node, seen in kit(cluster, "1.41").of("1.41", "capabilities", "changes_owner").items():
        assert seen["changes_owner"] != "0", f"a task on {node} changes the owner of a file without CHOWN"
        assert not int(seen["capabilities"], 16) & CHOWN, f"a task on {node} has CHOWN: {seen['capabilities']}"


@claim("containers/ulimits")
def test_tasks_open_no_more_files_than_they_may(cluster):
    for node, seen in kit(cluster, "1.41").of("1.41", "files", "opens_last_file", "opens_one_more").items():
        limits = f"{FILES} {MOST_FILES}"
        assert seen["files"] == limits, f"a task on {node} may open {seen['files']} files (soft, hard), not {limits}"
        assert seen["opens_last_file"] == "0", f"a task on {node} does not open the last of {FILES} files"
        assert seen["opens_one_more"] != "0", f"a task on {node} opens more than {FILES} files"


@claim("containers/pids-limit")
def test_tasks_start_no_more_processes_than_they_may(cluster):
    for node, seen in kit(cluster, "1.41").of("1.41", "processes", "has_processes", "starts_all").items():
        held = seen["processes"]
        assert held == str(PROCESSES), f"processes of a task on {node} are limited to {held}, not to {PROCESSES}"
        assert seen["starts_all"] == "no", (
            f"a task on {node} started {2 * PROCESSES} processes, and may have {PROCESSES}"
        )
        assert int(seen["has_processes"]) <= PROCESSES, f"a task on {node} has {seen['has_processes']} processes"


@claim("containers/read-only")
def test_tasks_do_not_write_to_a_read_only_root(cluster):
    for node, seen in kit(cluster).of("1.30", "writes_root", "why_not_root", "writes_memory").items():
        assert seen["writes_root"] != "0", f"a task on {node} writes to its root, which is read-only"
        assert "Read-only" in seen["why_not_root"], f"a task on {node} cannot write for: {seen['why_not_root']}"
        assert seen["writes_memory"] == "0", f"a task on {node} cannot write to /dev/shm either"


@claim("containers/oom-score")
def test_tasks_have_the_score_by_which_the_kernel_chooses(cluster):
    for node, seen in kit(cluster, "1.46").of("1.46", "oom_score").items():
        score = seen["oom_score"]
        assert score == str(OOM_SCORE), f"a task on {node} has the score {score}, not {OOM_SCORE}"


@claim("containers/environment")
def test_tasks_have_the_environment_as_it_is_given(cluster):
    for node, seen in kit(cluster).of("1.30", f"env_{VARIABLE}").items():
        value = seen.get(f"env_{VARIABLE}")
        assert value == VALUE, f"in a task on {node} {VARIABLE} is {value!r}, and was given as {VALUE!r}"


@claim("containers/environment-templates")
def test_templates_in_the_environment_are_filled_in_for_each_task(cluster):
    kitted = kit(cluster)
    ids = {name: identity for identity, name in cluster.names().items()}
    for node, seen in kitted.of("1.30", "env_SERVICE", "env_TASK", "env_NODE").items():
        wanted = {"SERVICE": kitted.name, "TASK": kitted.tasks[node].id, "NODE": ids[node]}
        found = {name: seen.get(f"env_{name}") for name in wanted}
        assert found == wanted, f"in the task on {node} templates became {found}, and should be {wanted}"


@claim("containers/labels")
def test_containers_have_the_labels_of_containers_and_not_those_of_the_service(cluster):
    kitted = kit(cluster)
    for node, labels in kitted.labels.items():
        assert labels.get(LABEL) == "on", f"the container on {node} has {LABEL}={labels.get(LABEL)}"
        assert cluster.label not in labels, f"the container on {node} has the label {cluster.label} of the service"


@claim("containers/working-directory")
def test_tasks_begin_in_the_folder_that_is_given(cluster):
    for node, seen in kit(cluster).of("1.30", "folder").items():
        assert seen["folder"] == FOLDER, f"a task on {node} began in {seen['folder']}, not in {FOLDER}"


@claim("containers/tty")
def test_tasks_have_a_terminal_if_it_is_asked_for(cluster):
    for node, seen in kit(cluster).of("1.30", "output").items():
        terminal = seen["output"].startswith(("/dev/pts/", "/dev/console", "/pts/", "/0"))
        assert terminal, f"a task on {node} writes to {seen['output']}, which is no terminal"


@claim("names/hostname-template")
def test_templates_in_the_host_name_are_filled_in_for_each_task(cluster):
    ids = {name: identity for identity, name in cluster.names().items()}
    for node, seen in kit(cluster).of("1.30", "hostname").items():
        wanted = f"swc-{ids[node]}"
        assert seen["hostname"] == wanted, f"the task on {node} has the host name {seen['hostname']}, not {wanted}"
