"""What a contender takes: time, processor, memory, and what the server does for it."""

import dataclasses
import os
import pathlib
import statistics
import subprocess
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
    """Runs stages one after the other, the commands of a stage at once.

    A command is a list of words, or such a list and what it reads from.
    """
    os.sync()
    server.sql("CHECKPOINT")
    wal, backend = server.wal_bytes(), server.cpu_seconds()
    client_cpu = rss = 0.0
    began = time.perf_counter()
    with open(log, "ab") as said:
        for stage in stages:
            running = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
                       for command in stage]
            stage_rss = 0.0
            for process in running:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
                client_cpu += usage.ru_utime + usage.ru_stime
                stage_rss += usage.ru_maxrss / 1024
            rss = max(rss, stage_rss)
            if any(process.returncode for process in running):
                raise Failed(_last_line(log))
    wall = time.perf_counter() - began
    return Figures(wall, client_cpu, server.cpu_seconds() - backend, rss,
                   (server.wal_bytes() - wal) / 2**20)


def _last_line(log):
    lines = pathlib.Path(log).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "said nothing"
