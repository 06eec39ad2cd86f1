"""A worker for tests: does what its request says."""

import os
import sys
import time

from edgekit.errors import QuantizationError
from edgekit.models.worker import serve_worker


def work(request, emit):
    print("noise on standard output")
    emit({"event": "started", "pid": os.getpid(), "wait": os.environ["OMP_WAIT_POLICY"]})
    match request["do"]:
        case "refuse":
            raise QuantizationError("too coarse")
        case "die":
            os.abort()
        case "fail":
            raise ValueError("a bug")
        case "sleep":
            time.sleep(60)


if __name__ == "__main__":
    sys.exit(serve_worker(work))
