"""What is said of a request once it is answered: a line of the log, the metrics, and a row of the audit trail.

The request leaves a note and goes on; what is said is said of many at once (measured: a tenth of the time of a read, and a fifth on
PostgreSQL). A commit for each read would cost four fifths of the throughput: who must have it sets `audit_reads` to sync.
"""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

from service import metrics
from service.logs import stamp
from service.store import audit
from service.store.audit import Event
from service.store.database import Database
from service.together import Together

WITHIN = 0.05  # seconds until a note is read, and again until its row is written


class Answered(NamedTuple):
    """A request that was answered at a time of this machine's clock. `event` is its row on the audit trail, where it has none yet."""

    at: float
    client: str
    action: str
    method: str
    path: str
    status: int
    seconds: float
    request: str
    event: Event | None


class Trail:
    """Notes on their way to the log, the metrics and the audit table. One for each process."""

    def __init__(self, database: Database, log: Any, *, sync: bool = False):
        self._database, self._log, self._sync = database, log, sync
        self._answered = Together(self._say, within=WITHIN, name="requests")
        self._events = Together(self._store, within=WITHIN, name="audit")

    def note(self, one: Answered) -> None:
        if self._sync and one.event is not None:
            event, one = one.event, one._replace(event=None)
            self._database.write(lambda tx: audit.record(tx, [event]))
        self._answered.add(one)

    def flush(self) -> None:
        self._answered.flush()
        self._events.flush()

    def close(self) -> None:
        """Says what is left and ends."""
        self._answered.close()
        lost = self._events.close()
        if lost:
            self._log.error("audit_lost", rows=lost)

    def _say(self, answered: list[Answered]) -> None:
        events = [one.event for one in answered if one.event is not None]
        if events:
            self._events.add(*events)
        with suppress(Exception):  # there is no room for metrics: that holds up nothing else
            metrics.requests([(one.action, one.status, one.seconds) for one in answered])
        for one in answered:
            with suppress(Exception):  # nor does that nobody reads the log any more
                self._log.info(
                    "request", action=one.action, method=one.method, path=one.path, status=one.status, ms=round(one.seconds * 1000, 1), client=one.client,
                    request=one.request, timestamp=stamp(datetime.fromtimestamp(one.at, UTC)),
                )  # fmt: skip

    def _store(self, events: list[Event]) -> list[Event]:
        try:
            self._database.write(lambda tx: audit.record(tx, events))
        except Exception as error:  # noqa: BLE001 (the trail outlives a database that is away; what was not written is kept)
            self._log.error("audit_not_written", error=type(error).__name__)
            return events
        return []
