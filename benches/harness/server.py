"""A Postgres of its own, tuned for loading, on a socket and on loopback; gone when the benchmark ends."""

import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import tempfile

import psycopg

# As an operator would set it for a load on a small machine; all that makes a commit durable is on.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "2GB",
    "max_wal_size": "16GB",
    "checkpoint_timeout": "1h",
    "maintenance_work_mem": "1GB",
    "max_parallel_maintenance_workers": "2",
    "work_mem": "64MB",
    "wal_compression": "off",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "40",
}

CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A cluster in a folder that this process makes and removes."""

    def __init__(self, binaries):
        self.binaries = pathlib.Path(binaries)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lakeferry-bench-"))
        self.data = self.folder / "data"
        self.port = free_port()
        # Postgres refuses to run as root.
        self.user = "nobody" if os.geteuid() == 0 else None
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            os.chmod(self.folder, 0o755)
        self._run("initdb", "--pgdata", self.data, "--username", "bench", "--auth", "trust",
                  "--encoding", "UTF8", "--no-locale")
        with open(self.data / "postgresql.auto.conf", "a", encoding="utf-8") as conf:
            for name, value in SETTINGS.items():
                conf.write(f"{name} = '{value}'\n")
            conf.write(f"unix_socket_directories = '{self.folder}'\n")
            conf.write(f"port = {self.port}\n")
        self._run("pg_ctl", "--pgdata", self.data, "--wait", "--log", self.folder / "log", "start")
        self.pid = int((self.data / "postmaster.pid").read_text(encoding="utf-8").split()[0])

    def _run(self, program, *arguments):
        command = [str(self.binaries / program), *map(str, arguments)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=self.user,
                       group=pwd.getpwnam(self.user).pw_gid if self.user else None,
                       cwd=self.folder)

    def stop(self):
        self._run("pg_ctl", "--pgdata", self.data, "--mode", "immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database):
        """As libpq takes it, and all that is built on it."""
        return f"postgresql://bench@/{database}?host={self.folder}&port={self.port}"

    def tcp_url(self, database):
        """For those that take nothing else."""
        return f"postgresql://bench:none@127.0.0.1:{self.port}/{database}"

    def connect(self, database="postgres"):
        return psycopg.connect(self.url(database), autocommit=True)

    def sql(self, statement, database="postgres"):
        """Runs a statement; all rows of its result, if it has one."""
        with self.connect(database) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def create(self, database, template=None):
        """A new database in the place of one of that name."""
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        copied = f" TEMPLATE {template}" if template else ""
        self.sql(f"CREATE DATABASE {database}{copied}")

    def version(self):
        return self.sql("SHOW server_version")[0][0]

    def wal_bytes(self):
        """Written since the cluster was made."""
        return int(self.sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")[0][0])

    def cpu_seconds(self):
        """Of all its processes, those that have ended included."""
        ticks = sum(_stat(self.pid)[11:15])
        for entry in pathlib.Path("/proc").iterdir():
            if entry.name.isdigit():
                stat = _stat(int(entry.name))
                if stat and stat[1] == self.pid:
                    ticks += stat[11] + stat[12]
        return ticks / CLOCK_TICKS


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _stat(pid):
    """The numbers of /proc/PID/stat after the state: first the state's place, then the parent."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]
