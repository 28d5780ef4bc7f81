"""How much memory this process has used at most."""

from __future__ import annotations

import re
import resource
from pathlib import Path


def peak_kib() -> int:
    """The most resident memory so far, in KiB, of this program alone.

    Not `ru_maxrss` where there is /proc: that survives exec, so a small program that a large test process
    starts would seem as large as that.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None, status
    return int(found[1])
