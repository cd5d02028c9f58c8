"""A worker process for benchmarks: ``worker.py CONFIG`` works until its standard input ends.

It prints the processor time that it has used, in seconds: as soon as it works, and at its end.
"""

from __future__ import annotations

import sys
import time

from handrail import Handrail

if __name__ == "__main__":
    with Handrail.open(sys.argv[1]) as rail, rail.working():
        print(time.process_time(), flush=True)
        sys.stdin.read()
    print(time.process_time(), flush=True)
