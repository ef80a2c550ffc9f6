"""Several processes that train together, without the seconds that `accelerate launch` takes to start."""

import os
import socket
import subprocess
import sys


def run_processes(command: list[str], world: int) -> None:
    """Like `accelerate launch --cpu --num_processes WORLD`; fails with the errors of a process that fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(world)]
    processes = [
        subprocess.Popen(command, env={**common, **rank}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for rank in ranks
    ]
    for process in processes:
        _, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors.decode()[-2000:]
