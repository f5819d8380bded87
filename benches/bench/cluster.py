"""A scratch Postgres, stopped and removed when its `with` block ends."""

import glob
import os
import re
import shutil
import subprocess
import tempfile

from .measure import Failed, Refused, free_port

PASSWORD = "bench"
SETTINGS = """
port = {port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '{home}'
wal_level = logical
max_wal_senders = 60
max_replication_slots = 60
shared_buffers = 1GB
max_wal_size = 16GB
checkpoint_timeout = 30min
fsync = on
"""


def find_programs():
    """The directory of Postgres' programs."""
    if os.environ.get("PG_BIN"):
        found = [os.environ["PG_BIN"]]
    else:
        found = sorted(
            glob.glob("/usr/lib/postgresql/*/bin"),
            key=lambda path: [int(number) for number in re.findall(r"\d+", path)],
            reverse=True,
        )
        found += [os.path.dirname(path) for path in [shutil.which("initdb")] if path]
    for path in found:
        if os.access(os.path.join(path, "initdb"), os.X_OK):
            return path
    raise Refused("no PostgreSQL found: set PG_BIN to the directory of its programs")


def server_user():
    """Postgres refuses to run as root: how to run its server."""
    if os.getuid() != 0:
        return [], None
    users = [line.split(":")[0] for line in open("/etc/passwd")]
    user = "postgres" if "postgres" in users else "nobody"
    return ["runuser", "-u", user, "--"], user


def scratch_parent():
    return os.environ.get("BENCH_TMP", "/tmp")


def free_bytes():
    return shutil.disk_usage(scratch_parent()).free


def quoted(value):
    return "'" + str(value).replace("'", "''") + "'"


class Cluster:
    """`used_wal`: gigabytes of WAL files that are there to be used again, as a server that has run for a while
    has them. A new file is filled with zeros first, by the session that needs it."""

    def __init__(self, used_wal=0, **settings):
        self.used_wal = used_wal
        settings = {"min_wal_size": f"{used_wal}GB"} | settings if used_wal else settings
        self.programs = find_programs()
        self.port = free_port()
        self.settings = settings
        self.home = None

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="rowhook-bench-", dir=scratch_parent())
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self):
        password = os.path.join(self.home, "password")
        with open(password, "w") as file:
            file.write(PASSWORD + "\n")
        os.chmod(self.home, 0o755)
        as_server, user = server_user()
        if user is not None:
            shutil.chown(self.home, user)
            shutil.chown(password, user)
        initdb = ["initdb", "-U", "postgres", "-E", "UTF8", "--locale", "C", "-A", "scram-sha-256"]
        initdb += ["--auth-local", "trust", "--pwfile", password, "-N", "-D", self.home + "/data"]
        self._serve(as_server, *initdb)
        with open(self.home + "/data/postgresql.conf", "a") as file:
            file.write(SETTINGS.format(port=self.port, home=self.home))
            file.writelines(f"{key} = {quoted(value)}\n" for key, value in self.settings.items())
        log = self.home + "/data/server.log"
        self._serve(as_server, "pg_ctl", "-s", "-w", "-D", self.home + "/data", "-l", log, "start")
        if self.used_wal:
            message = "pg_logical_emit_message(false, 'bench', repeat('used', 262144))"
            self.sql("postgres", f"select count({message}) from generate_series(1, 1024 * {self.used_wal})")
            self.checkpoint()

    def _serve(self, as_server, program, *arguments):
        command = [*as_server, os.path.join(self.programs, program), *arguments]
        # Not by pipes: the server would inherit them and keep them open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(command, cwd="/", stdout=output, stderr=output)
            if done.returncode != 0:
                output.seek(0)
                raise Failed(f"{program}: {output.read().decode().strip()}")

    def __exit__(self, *_):
        if os.path.exists(self.home + "/data/postmaster.pid"):
            stop = ["pg_ctl", "-s", "-m", "immediate", "-D", self.home + "/data", "stop"]
            as_server, _ = server_user()
            subprocess.run([*as_server, os.path.join(self.programs, stop[0]), *stop[1:]], cwd="/")
        shutil.rmtree(self.home, ignore_errors=True)

    def host(self, transport):
        return self.home if transport == "socket" else "127.0.0.1"

    def url(self, database, transport="tcp"):
        if transport == "socket":
            return f"postgres://postgres@/{database}?host={self.home}&port={self.port}"
        return f"postgres://postgres:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def command(self, program, *arguments):
        return [os.path.join(self.programs, program), *arguments]

    def environment(self, **more):
        session = {"PGHOST": self.home, "PGPORT": str(self.port), "PGUSER": "postgres", "PGPASSWORD": PASSWORD}
        return os.environ | session | more

    def client(self, program, *arguments, text=None, **environment):
        """Runs a client program to its end; its standard output."""
        done = subprocess.run(
            self.command(program, *arguments),
            env=self.environment(**environment),
            input=text,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise Failed(f"{program}: {done.stderr.strip()}")
        return done.stdout.strip()

    def psql(self, database):
        """The arguments of a psql that prints bare values."""
        return ["-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database]

    def sql(self, database, statement):
        return self.client("psql", *self.psql(database), text=statement)

    def number(self, database, statement):
        return int(self.sql(database, statement) or 0)

    def create(self, *databases, template="template1"):
        for database in databases:
            self.sql("postgres", f"create database {database} template {template}")

    def drop(self, *databases):
        for database in databases:
            self.sql("postgres", f"drop database {database} with (force)")

    def checkpoint(self):
        self.sql("postgres", "checkpoint")

    def position(self, database="postgres"):
        return self.sql(database, "select pg_current_wal_insert_lsn()")

    def create_slot(self, database, slot):
        self.sql(database, f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")

    def drop_slot(self, slot):
        self.sql("postgres", f"select pg_drop_replication_slot('{slot}')")

    def pgbench(self, database, script, *options, clients=4, wait_for_disk=False, **variables):
        """Runs a script (its text) with pgbench; what pgbench said."""
        path = os.path.join(tempfile.mkdtemp(dir=self.home), "script.sql")
        with open(path, "w") as file:
            file.write(script)
        options = ["-n", "-c", str(clients), "-j", "2", "-f", path, *options]
        for name, value in variables.items():
            options += ["-D", f"{name}={value}"]
        asynchronous = {} if wait_for_disk else {"PGOPTIONS": "-c synchronous_commit=off"}
        return self.client("pgbench", *options, database, **asynchronous)
