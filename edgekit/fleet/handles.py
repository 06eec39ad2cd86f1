"""How many files and connections a process may have open: a fleet needs one for each device."""

from __future__ import annotations

import resource

from edgekit.errors import ToolError

OWN = 256  # databases, sockets and files beside those of devices
_AMPLE = 65_536  # also where the machine sets no limit: some programs make tables of that size


def allow_connections(devices: int) -> int:
    """Raise this process's limit of open files for so many devices; return how many it may have.

    Processes that it starts later have the same limit.

    Raises:
        ToolError: If the machine does not allow as many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = devices + OWN
    wanted = max(soft, needed, _AMPLE)
    if hard != resource.RLIM_INFINITY:
        if needed > hard:
            raise ToolError(
                f"{devices} devices need {needed} open files, this process may have {hard};"
                f" 'ulimit -n {needed}' as root, or LimitNOFILE={needed} in its systemd unit,"
                " allows it"
            )
        wanted = min(wanted, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted - OWN
