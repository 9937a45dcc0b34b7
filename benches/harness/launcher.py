"""Starts commands for `measuring`, and tells what each of them took.

It is a process of its own, and a small one: as the most that a process had of memory, the system
counts also what that process had which started it.
"""

import json
import os
import subprocess
import sys


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        with open(asked["log"], "ab") as said:
            running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                                        env=asked["environment"])
                       for command in asked["commands"]]
        print(json.dumps([ended(process) for process in running]), flush=True)


def ended(process):
    """Waits for its end: the exit code, seconds of processor, and the most of memory in MiB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
