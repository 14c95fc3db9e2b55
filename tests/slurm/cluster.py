"""A SLURM cluster of one node, this machine: real daemons, started for a test and ended with it.

It needs Debian's packages slurm-wlm and munge, no systemd, no database, no cgroups and no rights beyond the user's.
Memory and GPUs are bookkeeping: SLURM counts them, and nobody is kept from using more.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol", "sacct", "sacctmgr", "sshare")
SEARCHED = f"{os.environ['PATH']}:/usr/sbin:/sbin"  # daemons lie where the path of an ordinary user does not lead
PATIENCE = 60.0
"""Seconds within which the cluster must run a first job, and end."""

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}({address})
SlurmctldPort={controller_port}
SlurmdPort={node_port}
{listen}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket
MpiDefault=none
SwitchType=switch/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=0,batch_sched_delay=0
MinJobAge=3600
InactiveLimit=0
KillWait=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={host} NodeAddr={address} CPUs={cpus} CoresPerSocket={cpus} RealMemory={memory_mb} Gres=gpu:{gpu_model}:{gpus}
PartitionName={cpu_partition} Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName={gpu_partition} Nodes={host} MaxTime=INFINITE State=UP
"""
"""MinJobAge keeps finished jobs in squeue: without a database nothing else remembers them."""


def missing() -> list[str]:
    """Name the programs that the cluster needs and this machine lacks."""
    return [name for name in PROGRAMS + CLIENTS if shutil.which(name, path=SEARCHED) is None]


def _program(name: str) -> str:
    """Return the path of a program that is there."""
    path = shutil.which(name, path=SEARCHED)
    assert path, f"{name} is not installed"
    return path


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    environment: dict[str, str]
    """Whoever calls SLURM's programs in this environment reaches this cluster."""

    def client(self, *command: str) -> str:
        """Run a client program and return what it prints."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def jobs(self) -> list[dict[str, str]]:
        """List all jobs so far, oldest first, with the fields that ``scontrol show job`` names."""
        lines = self.client("scontrol", "--oneliner", "show", "job").splitlines()
        return [dict(field.split("=", 1) for field in line.split() if "=" in field) for line in lines if "=" in line]

    def processes(self, job: str) -> list[int]:
        """List the processes of a running job."""
        return [int(line.split()[0]) for line in self.client("scontrol", "listpids", job).splitlines()[1:]]


@contextmanager
def running(*, cpu_partition: str, gpu_partition: str, gpu_model: str, gpus: int, memory_mb: int) -> Iterator[Cluster]:
    """Start a cluster, yield it once it has run a job, and end it.

    Parameters
    ----------
    cpu_partition, gpu_partition : str
        Names of its two partitions, both on the one node; the first is the default.
    gpu_model : str
        What its GPUs are called.
    gpus, memory_mb : int
        What the node claims to have. It has as many CPUs as this machine.

    Raises
    ------
    RuntimeError
        If no job could be run, with the ends of the daemons' logs.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # a short path, for sockets
    folder.chmod(0o755)  # munged refuses to answer where others could not ask
    for name in ("munge/private", "state", "spool", "clients", "devices"):
        (folder / name).mkdir(parents=True)
    host, address, listen = _own_name()
    ports = _free_ports()
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            host=host,
            address=address,
            listen=listen,
            controller_port=ports[0],
            node_port=ports[1],
            user=_user(),
            cpus=os.cpu_count(),
            memory_mb=memory_mb,
            gpu_model=gpu_model,
            gpus=gpus,
            cpu_partition=cpu_partition,
            gpu_partition=gpu_partition,
        )
    )
    devices = [folder / "devices" / f"gpu{number}" for number in range(gpus)]
    for device in devices:
        device.symlink_to("/dev/null")  # SLURM insists on a device for each
    (folder / "gres.conf").write_text(
        "".join(f"NodeName={host} Name=gpu Type={gpu_model} File={device}\n" for device in devices)
    )
    cluster = Cluster(_environment(folder))
    with ExitStack() as daemons:
        daemons.callback(shutil.rmtree, folder)
        try:
            _start_munge(folder, daemons)
            controller = _start(folder, daemons, "slurmctld", "-D", "-i", "-f", f"{folder}/slurm.conf")
            node = _start(folder, daemons, "slurmd", "-D", "-N", host, "-f", f"{folder}/slurm.conf")
            _await_first_job(cluster, controller, node)
        except _NotRunning as error:
            raise RuntimeError(f"{error}\n{_ends_of_logs(folder)}") from error
        daemons.callback(_cancel_all, cluster)
        yield cluster


class _NotRunning(Exception):
    """The cluster does not come up."""


def _own_name() -> tuple[str, str, str]:
    """Return this machine's name, its address, and the line that keeps the daemons to that address.

    SLURM finds the address to listen on through the name, so that the line does harm where the name leads nowhere or to
    another loopback address, as it does on some systems.
    """
    host = socket.gethostname().split(".")[0]
    try:
        address = socket.gethostbyname(host)
    except OSError:
        address = ""
    if address == "127.0.0.1" or (address and not address.startswith("127.")):
        return host, address, "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny"
    return host, "127.0.0.1", ""


def _free_ports() -> tuple[int, int]:
    """Find two ports that nobody listens on."""
    with socket.socket() as first, socket.socket() as second:
        first.bind(("", 0))
        second.bind(("", 0))
        return first.getsockname()[1], second.getsockname()[1]


def _user() -> str:
    """Return the name of the user, whose jobs are the only ones."""
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def _environment(folder: Path) -> dict[str, str]:
    """Wrap the clients so that they know the cluster: the executor drops SLURM_CONF on the way into a job."""
    for name in CLIENTS:
        wrapper = folder / "clients" / name
        wrapper.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {_program(name)} "$@"\n')
        wrapper.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}/clients:{SEARCHED}", "SLURM_CONF": f"{folder}/slurm.conf"}


def _start(folder: Path, daemons: ExitStack, program: str, *arguments: str) -> subprocess.Popen:
    """Start a daemon, to be ended with the others; in a session of its own, where no Ctrl-C reaches it."""
    with (folder / f"{program}.log").open("w") as log:
        daemon = subprocess.Popen(
            [_program(program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": SEARCHED},
            start_new_session=True,
        )
    daemons.callback(_end, daemon)
    return daemon


def _start_munge(folder: Path, daemons: ExitStack) -> None:
    """Start what SLURM's programs know each other by, with a key that nobody else can read."""
    private, answers = folder / "munge" / "private", folder / "munge" / "socket"
    private.chmod(0o700)
    subprocess.run([_program("mungekey"), "--create", f"--keyfile={private}/key"], check=True, umask=0o077)
    files = {"key-file": private / "key", "seed-file": private / "seed", "pid-file": private / "pid", "socket": answers}
    munged = _start(folder, daemons, "munged", "--foreground", *(f"--{name}={path}" for name, path in files.items()))
    limit = time.monotonic() + PATIENCE
    while not answers.exists():
        if munged.poll() is not None or time.monotonic() > limit:
            raise _NotRunning("munged does not answer")
        time.sleep(0.1)


def _await_first_job(cluster: Cluster, *daemons: subprocess.Popen) -> None:
    """Wait until the node has run a job."""
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        for daemon in daemons:
            if daemon.poll() is not None:
                raise _NotRunning(f"{daemon.args[0]} ended at once, with status {daemon.returncode}")
        try:
            cluster.client("srun", "--quiet", "--immediate=10", "--ntasks=1", "--mem=1", "--time=1", "true")
            return
        except (RuntimeError, subprocess.TimeoutExpired):
            time.sleep(0.2)
    raise _NotRunning(f"no job could be run within {PATIENCE:.0f} s")


def _ends_of_logs(folder: Path) -> str:
    """Return what the daemons said last."""
    return "\n".join(f"{log}:\n{log.read_text(errors='replace')[-2000:]}" for log in sorted(folder.glob("*.log")))


def _cancel_all(cluster: Cluster) -> None:
    """Cancel what is left and wait until it is gone: jobs outlive the daemons."""
    limit = time.monotonic() + PATIENCE
    cluster.client("scancel", "--user", _user())
    while cluster.client("squeue", "--noheader") and time.monotonic() < limit:
        time.sleep(0.2)


def _end(daemon: subprocess.Popen) -> None:
    """End a daemon."""
    daemon.terminate()
    try:
        daemon.wait(timeout=10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
