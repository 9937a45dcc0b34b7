"""What a contender takes: time, processor, memory, and what the server does for it."""

import dataclasses
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time


@dataclasses.dataclass
class Figures:
    wall: float
    client_cpu: float
    backend_cpu: float
    # Of the largest moment of each process, added up.
    rss_mib: float
    wal_mib: float

    @staticmethod
    def median(all_figures):
        """Of each figure by itself."""
        names = [field.name for field in dataclasses.fields(Figures)]
        return Figures(*(statistics.median(getattr(one, name) for one in all_figures)
                         for name in names))


class Failed(Exception):
    """A contender that did not do it, with what it said last."""


def measure(server, stages, log):
    """Runs stages one after the other, the commands of a stage at once."""
    os.sync()
    server.sql("CHECKPOINT")
    wal, backend = server.wal_bytes(), server.cpu_seconds()
    client_cpu = rss = 0.0
    launcher = _launcher()
    began = time.perf_counter()
    for stage in stages:
        asked = {"commands": stage, "log": str(log), "environment": dict(os.environ)}
        launcher.stdin.write(json.dumps(asked) + "\n")
        launcher.stdin.flush()
        codes, cpus, mibs = zip(*json.loads(launcher.stdout.readline()), strict=True)
        client_cpu += sum(cpus)
        rss = max(rss, sum(mibs))
        if any(codes):
            raise Failed(_last_line(log))
    wall = time.perf_counter() - began
    return Figures(wall, client_cpu, server.cpu_seconds() - backend, rss,
                   (server.wal_bytes() - wal) / 2**20)


@functools.cache
def _launcher():
    """It ends with this process."""
    program = [sys.executable, str(pathlib.Path(__file__).with_name("launcher.py"))]
    return subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _last_line(log):
    lines = pathlib.Path(log).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "said nothing"
