"""Runs one shell command and prints what the system says of it, as one line:
wall seconds, CPU seconds of it and its children, peak memory in KiB of the
largest process. What the command prints goes to standard error."""

import os
import resource
import subprocess
import sys
import time

start = time.perf_counter()
code = subprocess.call(["sh", "-e", "-c", sys.argv[1]], stdout=sys.stderr)
wall = time.perf_counter() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{wall:.6f} {used.ru_utime + used.ru_stime:.6f} {used.ru_maxrss}")
sys.exit(code)
