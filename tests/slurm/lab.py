"""A SLURM cluster of some nodes on this machine, with accounting, for as long as a test needs it (Debian's packages, as root).

All of it lives in namespaces of its own, so that no port of this machine is bound and nothing is left behind:

    head     host name, network and mounts of its own: munged, mariadbd, slurmdbd, slurmctld, and the commands of the tests
     └ n1..  the same and processes of its own, on a bridge of the head: slurmd

A node is switched off by killing its first process, as a power cut does, and on by starting it again.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

HEAD_ADDRESS = "10.77.0.1"
DATABASE = ("--no-defaults", "-uroot")
CONF = """
ClusterName=lab
SlurmctldHost=head({head})
SlurmctldPort=6817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=5
CommunicationParameters=NoAddrCache
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool-%n
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=100000,bf_interval=2
{switches}
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=10
InactiveLimit=0
MinJobAge=3600
FirstJobId={first_job}
BatchStartTimeout=10
MessageTimeout=20
CompleteWait=0
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=6819
AccountingStoragePass={root}/munge/socket
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=30
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=aside Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
DATABASE_CONF = """
AuthType=auth/munge
AuthInfo={root}/munge/socket
DbdHost=head
DbdAddr=127.0.0.1
DbdPort=6819
SlurmUser=root
PidFile={root}/slurmdbd.pid
LogFile={root}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=3306
StorageUser=slurm
StoragePass=of-a-test
StorageLoc=slurm_accounting
"""
WITH_US = ("setpriv", "--pdeathsig", "KILL")
"""Begins what must not outlive us, though we be killed."""
NEEDED = (
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "munged",
    "mariadbd",
    "mariadb-install-db",
    "nsenter",
    "unshare",
    "ip",
    "setpriv",
)


def what_is_missing() -> str:
    """Why no cluster can be made here; empty if one can."""
    if os.geteuid() != 0:
        return "a cluster of namespaces needs root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (tests/slurm/install.sh)"
    alone = ["unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc"]
    tried = subprocess.run([*alone, "ip", "link", "add", "bridge0", "type", "bridge"], capture_output=True, text=True)
    return f"this machine lends no namespaces with a bridge: {tried.stderr.strip()}" if tried.returncode else ""


def send(what: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


class Lab:
    """Use as a context; `run` and `start` run a command on the head."""

    def __init__(self, nodes: int = 2, cpus: int = 4, preempt_signal: bool = True):
        """Describe a cluster.

        Args:
            nodes: n1, n2, ...
            cpus: that each node claims to have.
            preempt_signal: whether jobs get their own signal before they are pre-empted, or SIGTERM alone.
        """
        # Sockets need a short path.
        self.root = Path(tempfile.mkdtemp(prefix="cxlab-", dir="/var/tmp"))
        self.root.chmod(0o755)  # munged wants its socket within reach of all
        self.names = [f"n{number + 1}" for number in range(nodes)]
        self._addresses = {name: f"10.77.0.{number + 11}" for number, name in enumerate(self.names)}
        self._daemons: list[subprocess.Popen] = []
        self._nodes: dict[str, subprocess.Popen] = {}
        line = (
            "NodeName={0} NodeAddr={1} CPUs={2} Boards=1 SocketsPerBoard=1 CoresPerSocket={2} ThreadsPerCore=1 RealMemory=4000"
        )
        conf = CONF.format(
            root=self.root, head=HEAD_ADDRESS, first_job=int(time.time()) % 60_000_000,
            switches="SlurmctldParameters=preempt_send_user_signal" if preempt_signal else "",
            nodes="\n".join(line.format(name, self._addresses[name], cpus) for name in self.names),
        )  # fmt: skip
        (self.root / "slurm.conf").write_text(conf)
        # slurmd asks for cgroups even where it is told to use none.
        (self.root / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        (self.root / "slurmdbd.conf").write_text(DATABASE_CONF.format(root=self.root))
        (self.root / "slurmdbd.conf").chmod(0o600)
        hosts = [("127.0.0.1", "localhost"), (HEAD_ADDRESS, "head"), *((at, name) for name, at in self._addresses.items())]
        (self.root / "hosts").write_text("".join(f"{at} {name}\n" for at, name in hosts))
        self.environment = os.environ | {"SLURM_CONF": str(self.root / "slurm.conf")}

    def __enter__(self) -> "Lab":
        """Start everything; takes some seconds."""
        try:
            self._start_head()
            self._start_munge()
            self._start_database()
            self._daemon("slurmctld", "slurmctld", "-D")
            for name in self.names:
                self.switch_on(name)
            self.wait_for_nodes(*self.names)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """End every process that was started here, and remove what they left."""
        if self._daemons:
            with contextlib.suppress(subprocess.SubprocessError):
                self.run("scancel", "-u", "root", "--quiet", check=False, timeout=10)
        for name in self._nodes:
            self.switch_off(name)
        for daemon in reversed(self._daemons):
            daemon.terminate()
            try:
                daemon.wait(20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def words(self, *command: str, cwd: Path | None = None) -> list[str]:
        """A command as the head runs it."""
        return ["nsenter", f"--target={self._head}", "--net", "--uts", "--mount", "env", "-C", str(cwd or Path.cwd()), *command]

    def run(self, *command: str, check: bool = True, timeout: float = 120, cwd: Path | None = None) -> str:
        """What a command wrote to stdout."""
        done = subprocess.run(
            self.words(*command, cwd=cwd), env=self.environment, capture_output=True, text=True, timeout=timeout
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout[-2000:]} {done.stderr[-3000:]}"
        return done.stdout

    def start(self, *command: str, cwd: Path | None = None) -> subprocess.Popen:
        """A command that goes on."""
        return subprocess.Popen(
            self.words(*command, cwd=cwd), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def switch_on(self, name: str) -> None:
        """Start a node, with an interface on the head's bridge."""
        log = (self.root / f"{name}.log").open("a")
        (self.root / f"spool-{name}").mkdir(exist_ok=True)
        wait = "until ip addr show eth0 2> /dev/null | grep -q 10.77; do sleep 0.05; done"
        # A core of its own, so that what runs on one node takes no time from another.
        core = self.names.index(name) % (os.cpu_count() or 1)
        # A slurmd that is killed leaves the node's jobs alive, as on a machine; it comes back once nobody holds it down.
        script = (
            f"taskset -cp {core} $$; hostname {name}; "
            f"mount --bind {self.root}/hosts /etc/hosts; mount -t tmpfs tmpfs /dev/shm; {wait}; "
            f"while :; do slurmd -D -N {name}; while [ -e {self.root}/down-{name} ]; do sleep 0.2; done; done"
        )
        alone = ["unshare", "--net", "--uts", "--ipc", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
        node = subprocess.Popen(
            [*WITH_US, *self.words(*alone, "bash", "-c", script)],
            env=self.environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self._nodes[name] = node
        inner = self._in_own_network(node.pid)
        for line in (
            f"link add v{name} type veth peer name eth0 netns {inner}",
            f"link set v{name} master bridge0 up",
        ):
            self._ip(line)
        inside = ["nsenter", f"--target={inner}", "--net", "ip"]
        for line in ("link set lo up", f"addr add {self._addresses[name]}/24 dev eth0", "link set eth0 up"):
            subprocess.run([*inside, *line.split()], check=True)

    def switch_off(self, name: str) -> None:
        """Cut a node's power: all its processes end at once, and its interface with them."""
        node = self._nodes[name]
        if node.poll() is None:
            node.kill()
            node.wait()
        # --kill-child ends the node's first process, and with that one all others.
        for _ in range(100):
            if subprocess.run(self.words("ip", "link", "show", f"v{name}"), capture_output=True).returncode:
                return
            time.sleep(0.1)
        raise AssertionError(f"{name} did not go")

    def kill_daemon(self, name: str) -> None:
        """End a node's slurmd alone, until `let_daemon`; its jobs' processes remain."""
        (self.root / f"down-{name}").touch()
        send(signal.SIGKILL, self.processes(name, b"slurmd\0-D").values())

    def let_daemon(self, name: str) -> None:
        """Let a slurmd that was killed come back."""
        (self.root / f"down-{name}").unlink()

    def processes(self, name: str, word: bytes) -> dict[int, int]:
        """A node's processes with a word in their command: the number that the node knows them by, and ours."""
        node = Path(f"/proc/{self._nodes[name].pid}/ns/pid_for_children").readlink()
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "ns/pid").readlink() == node and word in (process / "cmdline").read_bytes():
                    numbers = re.search(r"^NSpid:(.*)$", (process / "status").read_text(), re.MULTILINE)
                    found[int(numbers[1].split()[-1])] = int(process.name)
            except OSError:
                continue
        return found

    @contextlib.contextmanager
    def stand_still(self, name: str, word: bytes) -> Iterator[None]:
        """Keep a node's processes from going on, so that what they do does not end before it is disturbed."""
        held = self.processes(name, word)
        assert held, f"nothing of {word!r} on {name}"
        send(signal.SIGSTOP, held.values())
        try:
            yield
        finally:
            send(signal.SIGCONT, held.values())

    def wait_for_nodes(self, *names: str) -> None:
        """Until nodes take jobs."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            told = self.run("sinfo", "-h", "-N", "-p", "main", "-t", "idle,alloc,mix", "-o", "%N", check=False).split()
            if set(names) <= set(told):
                return
            time.sleep(0.2)
        raise AssertionError(f"nodes did not come: {self.run('sinfo', '-N', check=False)} {self._last_words()}")

    def _start_head(self) -> None:
        script = f"hostname head; mount --bind {self.root}/hosts /etc/hosts; echo ready; exec sleep infinity"
        head = subprocess.Popen(
            [*WITH_US, "unshare", "--net", "--uts", "--mount", "bash", "-c", script], stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert head.stdout is not None and head.stdout.readline() == "ready\n"
        self._head = head.pid
        self._daemons.append(head)
        for line in (
            "link set lo up",
            "link add bridge0 type bridge",
            f"addr add {HEAD_ADDRESS}/24 dev bridge0",
            "link set bridge0 up",
        ):
            self._ip(line)

    def _start_munge(self) -> None:
        folder = self.root / "munge"
        folder.mkdir(mode=0o755)
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o600)
        places = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self._daemon("munged", "munged", "--foreground", *(f"--{word}={folder / name}" for word, name in places.items()))
        self._wait_for(lambda: (folder / "socket").exists())

    def _start_database(self) -> None:
        data, socket = self.root / "database", self.root / "db.sock"
        data.mkdir()
        own = ("--no-defaults", "--user=root", f"--datadir={data}")
        self.run("mariadb-install-db", *own, "--auth-root-authentication-method=normal", "--skip-test-db")
        small = ("--innodb-buffer-pool-size=64M", "--performance-schema=OFF", "--skip-log-bin", "--skip-name-resolve",
                 "--innodb-lock-wait-timeout=900", "--innodb-flush-log-at-trx-commit=0")  # fmt: skip
        self._daemon("mariadbd", "mariadbd", *own, f"--socket={socket}", "--bind-address=127.0.0.1", *small)
        ask = ("mariadb", *DATABASE, "-S", str(socket), "-e")
        self._wait_for(lambda: self._answers(*ask, "select 1"))
        self.run(*ask, "create database slurm_accounting; create user slurm@'127.0.0.1' identified by 'of-a-test'; "
                       "grant all on slurm_accounting.* to slurm@'127.0.0.1'")  # fmt: skip
        self._daemon("slurmdbd", "slurmdbd", "-D")
        self._wait_for(lambda: self._answers("sacctmgr", "-n", "show", "cluster"))
        self.run("sacctmgr", "-i", "add", "cluster", "lab")

    def _daemon(self, name: str, *command: str) -> None:
        log = (self.root / f"{name}.log").open("a")
        self._daemons.append(subprocess.Popen([*WITH_US, *self.words(*command)], env=self.environment, stdout=log, stderr=log))

    def _answers(self, *command: str) -> bool:
        return subprocess.run(self.words(*command), env=self.environment, capture_output=True).returncode == 0

    def _wait_for(self, is_so, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < until, self._last_words()
            time.sleep(0.1)

    def _ip(self, line: str) -> None:
        subprocess.run(["nsenter", f"--target={self._head}", "--net", "ip", *line.split()], check=True)

    def _in_own_network(self, pid: int) -> int:
        """The process started as `pid`, once it has left the head's network."""
        head = Path(f"/proc/{self._head}/ns/net").readlink()
        own = Path("/proc/self/ns/net").readlink()
        self._wait_for(lambda: Path(f"/proc/{pid}/ns/net").readlink() not in (head, own))
        return pid

    def _last_words(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-800:]}" for log in sorted(self.root.glob("*.log")))
