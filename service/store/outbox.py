"""What is owed to whom: streams, which workers lease, and deliveries, which are the log of every resource that was owed.

States: waiting, sending, delivered, superseded, unsupported, parked, cancelled. Nothing ends in nothing: delivered,
superseded and cancelled are terminal, all others end in one of them.
"""

from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import Connection, func, select, update

from service.store.sql import chunks, insert_many, marks, padded, run
from service.store.tables import copy, delivery, resource, stream

WAITING, SENDING, DELIVERED, SUPERSEDED, UNSUPPORTED, PARKED, CANCELLED = (
    "waiting", "sending", "delivered", "superseded", "unsupported", "parked", "cancelled",
)  # fmt: skip
STATES = (WAITING, SENDING, DELIVERED, SUPERSEDED, UNSUPPORTED, PARKED, CANCELLED)
LATEST = 20_000  # attempts
REPLACED = (WAITING, PARKED, UNSUPPORTED)  # what a newer version of the same resource takes the place of
OPEN = (*REPLACED, SENDING)  # what is not over
WITHHELD = "Withheld from this EHR since it was owed"  # reasons by which deliveries are found again when an EHR is registered otherwise
UNHELD = "that this EHR neither holds nor is owed"
# What is asked for by resource. sic: by their names alone, PostgreSQL goes through all that a target is owed, by an index of that: it planned so
# while that was little, and plans once (measured: 4 ms a batch of 25, and 0.2 so).
OF_TARGET, IN_STATE = "target || '' = :", "state || ''"


def touch(tx: Connection, target: str, keys: Iterable[int], now: int) -> dict[int, int]:
    """The streams of a target, made where they are new, ready from now on at the latest: key -> number."""
    least = "min" if tx.dialect.name == "sqlite" else "least"
    values = [(target, key, now, 0, 0) for key in sorted(set(keys))]
    more = f"ON CONFLICT (target, key) DO UPDATE SET ready_at = {least}(stream.ready_at, excluded.ready_at) RETURNING key, num"
    return dict(insert_many(tx, stream, ("target", "key", "ready_at", "lease_until", "epoch"), values, more))


def owe(
    tx: Connection, target: str, stream_of: Mapping[int, int], now: int, *, reason: str = "", replays: Mapping[int, int] | None = None, unsure: bool = False
) -> None:
    """Owes resources (number -> stream) to a target: one waiting delivery each, which takes the place of what was waiting.

    What may be there already is still looked for first, unless it is replayed: then somebody has looked. `unsure` says that all may be.
    `replays` are the deliveries (by resource) in whose place these are owed.
    """
    columns = ("target", "stream", "resource", "state", "reason", "unsure", "attempts", "next_at", "created_at", "changed_at", "replays")
    for some in chunks(sorted(stream_of)):
        chunk = padded(some)
        sql = (
            f"UPDATE delivery SET state = :, changed_at = : WHERE {OF_TARGET} AND resource IN ({marks(chunk)}) AND {IN_STATE} IN ({marks(REPLACED)}) "
            "RETURNING resource, unsure"
        )
        replaced = run(tx, sql, (SUPERSEDED, now, target, *chunk, *REPLACED))
        look = set(some) if unsure else {resource for resource, was_unsure in replaced if was_unsure} if replays is None else set()
        insert_many(tx, delivery, columns, [
            (target, stream_of[resource], resource, WAITING, reason, resource in look, 0, now, now, now, (replays or {}).get(resource)) for resource in some
        ])  # fmt: skip


def brought(connection: Connection, target: str) -> int:
    """How many resources are at a target, or may be."""
    d, c = delivery.c, copy.c
    unsure = select(d.resource).where(d.target == target, d.state.in_((WAITING, SENDING, PARKED)), d.unsure | (d.state == SENDING))
    there = select(c.resource).where(c.target == target, c.remote_id.is_not(None))
    return connection.execute(select(func.count()).select_from(there.union(unsure).subquery())).scalar_one()


def give_up(tx: Connection, target: str, reason: str, now: int, *, but: Collection[str] | None = None) -> list[int]:
    """Cancels all that is not over at a target; where types are given, what is of others, and what is being sent ends by itself. Returns the resources."""
    d, r = delivery.c, resource.c
    which = [d.state.in_(REPLACED if but is not None else OPEN)]
    if but is not None:
        which.append(d.resource.in_(select(r.num).where(r.type.not_in(sorted(but)))))
    given_up = update(delivery).where(d.target == target, *which).values(state=CANCELLED, reason=reason, changed_at=now)
    return sorted(set(tx.execute(given_up.returning(d.resource)).scalars()))


def decide_anew(tx: Connection, target: str, reasons: Collection[str], now: int) -> None:
    """What was cancelled for one of these reasons is nobody's decision any more: catching up looks at it again."""
    d = delivery.c
    tx.execute(update(delivery).where(d.target == target, d.state == CANCELLED, d.reason.in_(reasons)).values(state=SUPERSEDED, changed_at=now))


def owe_refused(tx: Connection, target: str, words: str, people: Collection[str], now: int) -> None:
    """Owes again what was unsupported, and what is parked with these words or is of one of these types."""
    d, r, s = delivery.c, resource.c, stream.c
    parked = (d.state == PARKED) & (d.reason.contains(words, autoescape=True) | r.type.in_(sorted(people)))
    query = select(d.resource, s.key).join(stream, s.num == d.stream).join(resource, r.num == d.resource).where(d.target == target)
    found = {row.resource: row.key for row in tx.execute(query.where((d.state == UNSUPPORTED) | parked))}
    numbers = touch(tx, target, found.values(), now) if found else {}
    owe(tx, target, {one: numbers[key] for one, key in found.items()}, now, reason="It may be taken now")


def not_over(connection: Connection, stream: int) -> list[int]:
    """The resources of a stream that are parked, wait or are being sent."""
    d = delivery.c
    return list(connection.execute(select(d.resource).distinct().where(d.stream == stream, d.state.in_((WAITING, SENDING, PARKED)))).scalars())


def tried(connection: Connection, target: str, wanted: Iterable[int]) -> set[int]:
    """Those of these resources that were tried to bring to a target, in this delivery or an earlier one; since the last restore where none is there."""
    found: set[int] = set()
    for some in chunks(sorted(set(wanted))):
        chunk = padded(some)
        sql = f"SELECT resource FROM delivery WHERE {OF_TARGET} AND resource IN ({marks(chunk)}) AND attempts > 0"
        found |= {row[0] for row in run(connection, sql, (target, *chunk))}
    return found


def counts(connection: Connection, target: str | None = None) -> dict[tuple[str, str], int]:
    """How many deliveries there are in each state: (target, state) -> count."""
    query = select(delivery.c.target, delivery.c.state, func.count()).group_by(delivery.c.target, delivery.c.state)
    if target is not None:
        query = query.where(delivery.c.target == target)
    return {(row[0], row[1]): row[2] for row in connection.execute(query)}


def lately(connection: Connection, since: int) -> dict[tuple[str, str], int]:
    """How many attempts had which outcome since a time: (target, outcome) -> count. It looks back at so many at most, whatever there is."""
    latest = "SELECT delivery, outcome, ended_at FROM attempt ORDER BY num DESC LIMIT :"
    sql = f"SELECT d.target, a.outcome, COUNT(*) FROM ({latest}) AS a JOIN delivery d ON d.num = a.delivery WHERE a.ended_at > : GROUP BY d.target, a.outcome"
    return {(target, outcome): n for target, outcome, n in run(connection, sql, (LATEST, since))}


def oldest_waiting(connection: Connection, now: int) -> dict[str, float]:
    """How long the oldest waiting delivery of each target has waited, in seconds."""
    d = delivery.c
    rows = connection.execute(select(d.target, func.min(d.created_at)).where(d.state == WAITING).group_by(d.target))
    return {row[0]: (now - row[1]) / 1_000_000 for row in rows}
