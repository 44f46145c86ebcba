"""What a rehearsal says of a node that does not come back."""

from suites.support.upgrade.kept import last_errors

LEFT = 'time="2026" level=error msg="fatal task error" error="error creating vxlan interface: file exists" task.id={}'
GONE = 'time="2026" level=error msg="failed removing container name resolution for {}"'
LOG = "\n".join(
    [
        'time="2026" level=error msg="the oldest"',
        'time="2026" level=warning msg="no error"',
        *(line.format(f"{number:x}" * 25) for number in range(9) for line in (LEFT, GONE)),
        'time="2026" level=error msg="another"',
    ]
)


def test_the_last_errors_that_differ_are_told():
    told = last_errors(LOG)
    assert "error creating vxlan interface: file exists" in told
    assert told.count("failed removing") == told.count('"another"') == told.count("fatal task error") == 1
    assert "oldest" not in told
    assert last_errors('level=warning msg="no error"') == ""
