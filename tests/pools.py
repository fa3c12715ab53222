"""gunicorn's workers with threads, ours and the sandbox's: how they end."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import ThreadWorker


def ends_while_its_pool_is_locked(worker_class: type[ThreadWorker]) -> bool:
    """Whether a worker that is told to end, as its pool takes a request and has its lock, ends within seconds."""
    worker, pool = object.__new__(worker_class), ThreadPoolExecutor(1)
    worker.cfg, worker.tpool = Config(), pool
    ended: list[object] = []

    def taking() -> None:
        with pool._shutdown_lock, pytest.raises(SystemExit):
            worker.handle_quit(signal.SIGQUIT, None)
        ended.append(worker.alive)

    thread = threading.Thread(target=taking, daemon=True)
    thread.start()
    thread.join(5)
    if ended == [False]:
        pool.shutdown()
    return ended == [False]
