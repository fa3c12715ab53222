"""The worker: leases streams, sends each on a thread of its own, keeps its leases, and does the small things that time brings.

Any number of workers run side by side; they coordinate through the database and nothing else. One that is told to stop finishes
what it is sending, settles it and gives its streams back; one that is killed loses its leases when they lapse. One that cannot
renew its leases, because the database is not there or it was itself stopped for a while, sends nothing more under them.
"""

import os
import queue
import random
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex

from sqlalchemy import Connection, delete, insert, select

from service.security import clients
from service.store import audit, maintenance, pruning, streams, targets
from service.store.clock import micros
from service.store.streams import Lease
from service.store.tables import idempotency, jti, token, worker
from service.sync import ehrs
from service.sync.access import Accesses
from service.sync.alarming import Alarming
from service.sync.beside import Beside
from service.sync.catching_up import catch_up_with_all
from service.sync.pulling import pull_all
from service.sync.sending import Stream, send_stream
from service.sync.targets.rest import Rest
from service.sync.timers import follow_timers
from service.sync.transport import Interrupted, Line, NotReached
from service.tenant import derived
from service.wiring import Service

CHORES_EVERY = 1.0
SEEN_EVERY = 20.0
IDLE = (0.05, 0.5)  # seconds between looks while nothing is due: soon at first, then less often
UNREACHED = 15 * 1_000_000
DAY = 86_400 * 1_000_000


def named(own: str, pid: int | None = None) -> str:
    """The name of a worker: where it runs, its process's id, and what makes it nobody else's."""
    return f"{socket.gethostname()[:40]}-{pid or os.getpid()}-{own}"


@dataclass
class Held:
    """A lease, and until when (on this machine's own clock) nobody else can have it."""

    lease: Lease
    until: float

    def keeps(self) -> bool:
        return time.monotonic() < self.until


class Worker:
    """Its name is nobody else's. `before` is the name of one that is known to be dead: what that one had is given back at once."""

    def __init__(self, service: Service, *, threads: int | None = None, name: str | None = None, before: str | None = None):
        self.service, self.id, self._before = service, name or named(token_hex(3)), before
        self._threads = threads or service.settings.worker_threads
        self._lease_seconds = service.settings.lease_seconds
        self._stop, self._ended, self._wake = threading.Event(), threading.Event(), queue.SimpleQueue[None]()
        self._active: dict[int, tuple[Held, Future[int]]] = {}
        self._seen_at, self._pruned_to = 0.0, 0
        self._alarming = Alarming(service)
        self._accesses = Accesses(service)
        self._catching_up = Beside(service, "catching_up", lambda: catch_up_with_all(service, self._stop.is_set))
        self._pulling = Beside(service, "pulling", lambda: pull_all(service, self._accesses, self._stop.is_set))
        self._lines = threading.local()
        self._all_lines: list[Line] = []
        self.sent = 0

    def stop(self) -> None:
        self._stop.set()
        self._wake.put(None)  # sic: a signal's handler runs within what it interrupts, and an event that is waited for is locked there

    def run(self, *, until_idle: bool = False) -> int:
        """Works until it is stopped, or with `until_idle` until nothing is due or under way. Returns how many were sent."""
        self._register()
        keeper = threading.Thread(target=self._keep_leases, name="leases", daemon=True)
        keeper.start()
        idle, chores_at = IDLE[0], 0.0
        with ThreadPoolExecutor(self._threads, thread_name_prefix="stream") as pool:
            while not self._stop.is_set():
                try:
                    if time.monotonic() >= chores_at:
                        chores_at = time.monotonic() + CHORES_EVERY
                        self._chores()
                    self._reap()
                    more = self._catching_up.under_way or self._pulling.under_way
                    leased = self._take(pool)
                except Exception as error:  # noqa: BLE001 (the database is away, or a chore fails: what is owed is still owed)
                    self.service.log.error("worker_failed", error=type(error).__name__)
                    self._rest(IDLE[1])
                    continue
                if leased or self._active:
                    idle = IDLE[0]
                elif until_idle and not more and leased is None:
                    break
                self._rest(IDLE[0] if self._active else idle)
                idle = idle if self._active else min(IDLE[1], idle * 1.5)
            while self._active:
                self._reap(wait=0.2)
        self._ended.set()
        keeper.join()
        self._catching_up.end()
        self._pulling.end()
        self._alarming.end()
        for line in self._all_lines:
            line.close()
        self.service.database.write(lambda tx: tx.execute(delete(worker).where(worker.c.id == self.id)))
        return self.sent

    def _rest(self, seconds: float) -> None:
        """Waits until a stream has been sent or the worker is to stop, and not longer than that."""
        with suppress(queue.Empty):
            self._wake.get(timeout=seconds)
            while True:
                self._wake.get_nowait()

    # --- streams

    def _take(self, pool: ThreadPoolExecutor) -> int | None:
        """How many streams it took; None where none is due. One that is due may be another's turn: an EHR takes only so many, and places first."""
        free = self._threads - len(self._active)
        if free <= 0:
            return 0
        now = self._now()
        with self.service.database.glance() as connection:
            if not streams.any_due(connection, now):
                return None
        until = time.monotonic() + self._lease_seconds  # before it is leased, so that it never lasts longer here than there
        leases = self.service.database.write(lambda tx: streams.lease(tx, self.id, now, now + self._lease, free, lingers=self._lingers))
        for lease in leases:
            held = Held(lease, until)
            future = pool.submit(self._sent, held)
            future.add_done_callback(lambda _: self._wake.put(None))
            self._active[lease.stream] = (held, future)
        return len(leases)

    def _sent(self, held: Held) -> int:
        """Sends one stream. Whatever goes wrong with it, it is tried again later, and the others go on."""
        try:
            with self.service.database.glance() as connection:
                target = targets.get(connection, held.lease.target)
            return self._send(held, target) if target is not None else 0
        except Exception as error:  # noqa: BLE001
            self.service.log.error("stream_failed", stream=held.lease.stream, error=type(error).__name__)
            now = self._now()
            self.service.database.write(lambda tx: streams.release(tx, held.lease, now, not_before=now + UNREACHED))
            return 0

    def _send(self, held: Held, target: targets.Target) -> int:
        ehr = self._ehr(target)
        try:
            able = ehrs.able(self.service, target, ehr, self._now())
        except (NotReached, Interrupted, ValueError) as error:
            self.service.log.warning("ehr_says_nothing", ehr=target.id, error=str(error)[:200])
            self._leave_alone(held.lease, target)
            return 0
        jitter = random.Random()  # noqa: S311
        return send_stream(Stream(self.service, held.lease, target, ehr, able, self._stop.is_set, held.keeps, jitter))

    def _leave_alone(self, lease: Lease, target: targets.Target) -> None:
        """An EHR that does not even say what it can do is asked again later; nothing of its streams is an attempt."""
        now = self._now()

        def work(tx: Connection) -> None:
            streams.release(tx, lease, now)
            targets.fared(tx, target.id, snoozed_until=now + UNREACHED, failed=1)

        self.service.database.write(work)

    def _ehr(self, target: targets.Target) -> Rest:
        kept: dict[tuple[str, str, str], Rest] = self._lines.__dict__.setdefault("kept", {})
        key = (target.id, target.base_url, str(target.settings))
        if key not in kept:
            kept[key], line = ehrs.rest(self.service, target, self._accesses.of(target))
            self._all_lines.append(line)
        return kept[key]

    def _reap(self, wait: float = 0) -> None:
        for num, (_, future) in list(self._active.items()):
            if wait and not future.done():
                time.sleep(wait)
            if future.done():
                del self._active[num]
                error = future.exception()
                if error is not None:
                    self.service.log.error("stream_failed", stream=num, error=type(error).__name__)
                else:
                    self.sent += future.result()

    @property
    def _lease(self) -> int:
        return int(self._lease_seconds * 1_000_000)

    @property
    def _lingers(self) -> int:
        return int(self.service.settings.send_seconds * 1_000_000)

    def _keep_leases(self) -> None:
        """Renews what is under way, on a thread of its own: a chore that takes long costs no lease."""
        while not self._ended.wait(min(1.0, self._lease_seconds / 5)):
            active = [held for held, _ in tuple(self._active.values())]
            if active:
                try:
                    self._renew(active)
                except Exception as error:  # noqa: BLE001 (the database is away: what cannot be renewed lapses, here as there)
                    self.service.log.error("leases_not_renewed", error=type(error).__name__)

    def _renew(self, active: list[Held]) -> None:
        until = time.monotonic() + self._lease_seconds
        kept = self.service.database.write(lambda tx: streams.renew(tx, [held.lease for held in active], self._now() + self._lease))
        for held in active:
            held.until = until if held.lease.stream in kept else 0.0

    # --- what time brings

    def _register(self) -> None:
        now = self._now()

        def work(tx: Connection) -> None:
            tx.execute(insert(worker).values(id=self.id, started_at=now, seen_at=now))
            if self._before is not None:
                streams.give_back(tx, self._before, now)
                tx.execute(delete(worker).where(worker.c.id == self._before))

        self.service.database.write(work)

    def _chores(self) -> None:
        """Once a second: consents that began or ended, the audit's seal, what is past its time, and a sign of life."""
        now = self._now()
        with self.service.database.glance() as connection:
            work = maintenance.due(connection, now)
        if work.timers:
            self.service.database.write(lambda tx: follow_timers(tx, now))
        if work.unsealed:
            key = derived(self.service.tenant.secret, "audit")
            sealed = self.service.database.write(lambda tx: audit.seal(tx, key))
            if sealed is not None:
                self.service.log.info("audit_sealed", row=sealed[0], head=sealed[1].hex())
        if work.catching_up:
            self._catching_up.begin()
        if work.pulls:
            self._pulling.begin()
        self._alarming.begin()
        if work.milestone:
            self._pruned_to = self.service.database.write(lambda tx: self._sweep(tx, now))
        if time.monotonic() >= self._seen_at:
            self._seen_at = time.monotonic() + SEEN_EVERY
            self.service.database.write(lambda tx: maintenance.seen(tx, self.id, now))

    def _sweep(self, tx: Connection, now: int) -> int:
        maintenance.sweep(tx, now, self.service.settings.page_seconds)
        clients.forget_expired(tx, (jti, token, idempotency), now - 3_600_000_000)
        return pruning.prune(tx, self._pruned_to, now - self.service.settings.delivery_days * DAY)

    def _now(self) -> int:
        return micros(self.service.tenant.now())


def workers(connection: Connection) -> list[tuple[str, int]]:
    """(id, last sign of life) of the workers that have registered and not ended."""
    return [(row.id, row.seen_at) for row in connection.execute(select(worker).order_by(worker.c.started_at))]
