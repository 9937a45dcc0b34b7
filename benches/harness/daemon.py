"""`lakeferry run` beside a benchmark: started, asked what it tells Prometheus, looked at, ended."""

import os
import signal
import subprocess
import time
import urllib.request

from .server import CLOCK_TICKS, free_port


class Daemon:
    """A daemon that is ready."""

    def __init__(self, binary, config, log):
        """`config` is the text of a configuration without `http`."""
        self.port = free_port()
        self.path = log.with_name("daemon.yaml")
        self.path.write_text(config + f"http: {{ listen: 127.0.0.1:{self.port} }}\n",
                             encoding="utf-8")
        with open(log, "wb") as said:
            self.process = subprocess.Popen(
                [binary, "--config", self.path, "run"], stdin=subprocess.DEVNULL, stdout=said,
                stderr=said, env={**os.environ, "NO_COLOR": "1"})

    def metrics(self):
        """Values by name and labels, as Prometheus writes them."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def wait(self, until, seconds):
        """Waits until the metrics are as `until` says."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit("the daemon ended")
            try:
                if until(self.metrics()):
                    return
            except OSError:
                pass
            time.sleep(0.2)
        raise SystemExit("the daemon did not get there in time")

    def cpu_seconds(self):
        """Of the process since its start."""
        with open(f"/proc/{self.process.pid}/stat", encoding="utf-8") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def rss_mib(self):
        """Resident now."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def quantile(metrics, name, share):
    """Of a histogram, in seconds, between the bounds of its bucket by proportion."""
    buckets = sorted(
        (float(label.split('le="')[1].split('"')[0]), value)
        for label, value in metrics.items() if label.startswith(f"{name}_bucket"))
    wanted = share * buckets[-1][1]
    below = least = 0.0
    for bound, count in buckets:
        if count >= wanted:
            return least + (bound - least) * (wanted - below) / max(count - below, 1)
        below, least = count, bound
    return buckets[-1][0]
