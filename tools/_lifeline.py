"""A child that is killed when its parent is gone, on Linux, at the cost of a pipe and three calls.

The child holds the read end of a pipe to which nobody writes, set to announce activity by a signal
(F_SETOWN, F_SETSIG and O_ASYNC of fcntl(2), which pipes have since Linux 2.6). The parent holds the
write end. When the parent dies, by SIGKILL too, the kernel closes that end, and this is the activity:
SIGKILL for the whole process group. Nothing runs in the child for it.

PR_SET_PDEATHSIG of prctl(2) would need code in the child (`preexec_fn` costs 2 to 4 ms because it forbids
vfork, `setpriv --pdeathsig` another exec of 1 to 1.5 ms, measured), and fires already when the thread
that started the child ends. Where this is missing, as on macOS, nmap outlives a parent that was killed
by SIGKILL until its scan is done; every other end of the parent stops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
from typing import Final

__all__ = ["SUPPORTED", "pipe", "tie"]

SUPPORTED: Final = sys.platform == "linux"
"""Whether this system can do it."""


def pipe() -> tuple[int, int]:
    """The parent's end and the child's."""
    child, parent = os.pipe()
    return parent, child


def tie(end: int, group: int) -> None:
    """Have the process group `group` killed when the other end of the pipe `end` is closed.

    `end` may be closed here afterwards, as long as the child keeps its copy. Where the kernel refuses,
    as some sandboxes do, the child is merely not tied.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            fcntl.fcntl(end, fcntl.F_SETOWN, -group)
            fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGKILL)
            fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_ASYNC)
