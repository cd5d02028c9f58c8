"""A worker process for benchmarks: ``worker.py CONFIG`` works until its standard input ends.

It prints one line as soon as it works, and at its end one with the processor time that it used (seconds).
"""

from __future__ import annotations

import sys
import time

from handrail import Handrail

if __name__ == "__main__":
    with Handrail.open(sys.argv[1]) as rail, rail.working():
        print("working", flush=True)
        sys.stdin.read()
    print(time.process_time(), flush=True)
