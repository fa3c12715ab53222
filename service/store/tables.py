"""The tables. Entities, resources and deliveries are documents in fixed columns, so another kind needs no migration.

Levels stand in ranges [lo, hi]: a rendering, or an index row, is seen by readers of these levels. `from_seq` and `to_seq`
bound the commits between which a row is current; a row that is current still has `to_seq` FOREVER. Moments are microseconds
since 1970 in UTC.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, SmallInteger, Table, Text, text
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.schema import SchemaItem

FOREVER = 2**62
ENDED = f"to_seq < {FOREVER}"
metadata = MetaData()
Num = BigInteger().with_variant(Integer, "sqlite")  # sic: SQLite numbers rows itself only in a column called INTEGER


def _clustered(name: str, *columns: SchemaItem) -> Table:
    """A table kept in the order of its primary key: without rowid on SQLite; PostgreSQL answers from the key's index."""
    return Table(name, metadata, *columns, sqlite_with_rowid=False)


clock = Table(
    "clock", metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("restores", Integer, nullable=False),  # the number of the last restore of a backup, which is above every version given before it
    Column("targets", Integer, nullable=False, server_default="0"),  # how often a target was added: who publishes sees that there is another
)

entity = Table(
    "entity", metadata,
    Column("num", Num, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("patient", BigInteger, nullable=True),  # the number of the patient's own entity; a patient's is its own
    Column("version", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("findings", LargeBinary, nullable=False),
    Column("erased", Boolean, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("map_version", Integer, nullable=False),
    Unique("kind", "id"),
    Index("entity_changed", "kind", "seq"),
    Index("entity_of_patient", "patient", "kind", "seq"),
)

entity_version = _clustered(
    "entity_version",
    Column("entity", BigInteger, ForeignKey("entity.num"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("erased", Boolean, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("client", Text, nullable=False),
    PrimaryKeyConstraint("entity", "version"),
)

resource = Table(
    "resource", metadata,
    Column("num", Num, primary_key=True),
    Column("uuid", LargeBinary(16), nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("patient", BigInteger, nullable=True),
    Column("owner", BigInteger, ForeignKey("entity.num"), nullable=False),
    Column("role", Text, nullable=False),
    Column("item", Text, nullable=True),
    Index("resource_of_owner", "owner"),
    Index("resource_of_patient", "patient", "num"),
)

rendering = Table(
    "rendering", metadata,
    Column("resource", BigInteger, ForeignKey("resource.num"), nullable=False),
    Column("lo", SmallInteger, nullable=False),
    Column("hi", SmallInteger, nullable=False),
    Column("version", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("from_seq", BigInteger, nullable=False),
    Column("to_seq", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),  # 0 there, 1 entered in error because it is no longer yielded, 2 deleted
    Column("digest", LargeBinary, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("resource", "to_seq", "lo", "from_seq"),
)
THERE, ENTERED_IN_ERROR, DELETED = 0, 1, 2

parameter = Table(
    "parameter", metadata,
    Column("num", Integer, primary_key=True),
    Column("type", Text, nullable=False),
    Column("name", Text, nullable=False),
    Unique("type", "name"),
)

search_value = _clustered(
    "search_value",
    Column("parameter", Integer, nullable=False),
    Column("value", BigInteger, nullable=False),
    Column("resource", BigInteger, nullable=False),
    Column("other", BigInteger, nullable=False),  # the end of a time, the unit of a quantity; else 0
    Column("lo", SmallInteger, nullable=False),
    Column("hi", SmallInteger, nullable=False),
    Column("from_seq", BigInteger, nullable=False),
    Column("to_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("parameter", "value", "resource", "lo", "other", "from_seq"),
    Index("search_value_of_resource", "resource", "parameter"),
    Index("search_value_ended", "to_seq", sqlite_where=text(ENDED), postgresql_where=text(ENDED)),
)

search_text = _clustered(
    "search_text",
    Column("parameter", Integer, nullable=False),
    Column("value", Text().with_variant(Text(collation="C"), "postgresql"), nullable=False),  # in the order of code points, for prefixes
    Column("resource", BigInteger, nullable=False),
    Column("lo", SmallInteger, nullable=False),
    Column("hi", SmallInteger, nullable=False),
    Column("from_seq", BigInteger, nullable=False),
    Column("to_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("parameter", "value", "resource", "lo", "from_seq"),
    Index("search_text_of_resource", "resource", "parameter"),
    Index("search_text_ended", "to_seq", sqlite_where=text(ENDED), postgresql_where=text(ENDED)),
)

disclosure = _clustered(
    "disclosure",
    Column("reader", Text, nullable=False),  # client:ID or target:ID
    Column("patient", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("level", SmallInteger, nullable=False),
    PrimaryKeyConstraint("reader", "patient", "since"),
)

client = Table(
    "client", metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("level", SmallInteger, nullable=False),
    Column("organisation", Text, nullable=True),
    Column("role", Text, nullable=True),
    Column("scopes", Text, nullable=False),
    Column("algorithms", Text, nullable=False),
    Column("jwks", Text, nullable=True),
    Column("jwks_url", Text, nullable=True),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
)

token = Table(
    "token", metadata,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("client", Text, ForeignKey("client.id"), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    Index("token_of_client", "client"),
    Index("token_expiry", "expires_at"),
)

jti = _clustered(
    "jti",
    Column("client", Text, nullable=False),
    Column("jti", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("client", "jti"),
)

idempotency = Table(
    "idempotency", metadata,
    Column("client", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("request", LargeBinary, nullable=False),  # a hash of method, path and body
    Column("status", SmallInteger, nullable=False),
    Column("headers", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    PrimaryKeyConstraint("client", "key"),
    Index("idempotency_expiry", "expires_at"),
)

audit = Table(
    "audit", metadata,
    Column("num", Num, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("client", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),  # a path without its query, or kind/id
    Column("patient", BigInteger, nullable=True),
    Column("level", SmallInteger, nullable=True),
    Column("status", SmallInteger, nullable=False),
    Column("request", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("link", BigInteger, nullable=True),  # its place in the chain: set by the sealer, as the next is
    Column("chain", LargeBinary, nullable=True),
    Index("audit_of_patient", "patient", "num"),
    Index("audit_unsealed", "num", sqlite_where=text("chain IS NULL"), postgresql_where=text("chain IS NULL")),
    Index("audit_sealed", "link", unique=True),
)

target = Table(
    "target", metadata,
    Column("id", Text, primary_key=True),
    Column("base_url", Text, nullable=False),
    Column("fhir_version", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON: auth (its secret sealed), headers, types, create_people, rates
    Column("level", SmallInteger, nullable=False),
    Column("organisation", Text, nullable=True),
    Column("role", Text, nullable=True),
    Column("capability", LargeBinary, nullable=True),
    Column("capability_at", BigInteger, nullable=True),
    Column("paused", Boolean, nullable=False),
    Column("max_in_flight", SmallInteger, nullable=False),
    Column("snoozed_until", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),  # in a row; the breaker opens on them
    Column("created_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger, nullable=True),
    Column("catching_up", BigInteger, nullable=True),  # the key of the stream that was looked at last; none once all were
    Column("paced_until", BigInteger, nullable=False, server_default="0"),  # when it may be called next, where a rate is agreed
)

access = Table(
    "access", metadata,  # how a target lets us in
    Column("target", Text, ForeignKey("target.id"), primary_key=True),
    Column("granted", Text, nullable=True),  # the scopes of the last token
    Column("problem", Text, nullable=True),  # why there is none, or why it is not taken
    Column("failures", Integer, nullable=False),  # in a row
    Column("at", BigInteger, nullable=False),
)

signing_key = Table(
    "signing_key", metadata,  # with which we sign who we are, when we ask a target for a token
    Column("kid", Text, primary_key=True),
    Column("alg", Text, nullable=False),
    Column("target", Text, nullable=True),  # the one that it is for; none for all
    Column("public", Text, nullable=False),  # a JWK
    Column("private", Text, nullable=False),  # sealed; empty once it is retired
    Column("created_at", BigInteger, nullable=False),
    Column("signs_from", BigInteger, nullable=False),
    Column("retired_at", BigInteger, nullable=True),
)

copy = _clustered(
    "copy",
    Column("target", Text, ForeignKey("target.id"), nullable=False),
    Column("resource", BigInteger, nullable=False),
    Column("remote_id", Text, nullable=True),
    Column("remote_version", Text, nullable=True),  # the ETag as it came
    Column("version", Text, nullable=False),  # of the rendering that was sent
    Column("level", SmallInteger, nullable=False),
    Column("sent_hash", LargeBinary, nullable=False),
    Column("seen_hash", LargeBinary, nullable=True),
    Column("made", LargeBinary, nullable=True),
    Column("formerly", Text, nullable=True),  # ids there, with spaces between
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("target", "resource"),
    Index("copy_there", "remote_id", "target"),  # sic: one that begins with the target was taken for what is asked by resource, while copies were few
)

unresolved = _clustered(
    "unresolved",  # a reference that went out as a logical one, and is sent again when what it wants is held
    Column("target", Text, nullable=False),
    Column("wants", BigInteger, nullable=False),
    Column("resource", BigInteger, nullable=False),
    PrimaryKeyConstraint("target", "wants", "resource"),
)

stream = Table(
    "stream", metadata,
    Column("num", Num, primary_key=True),
    Column("target", Text, ForeignKey("target.id"), nullable=False),
    Column("key", BigInteger, nullable=False),  # a patient, or minus a resource that has none
    Column("ready_at", BigInteger, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("worker", Text, nullable=True),
    Unique("target", "key"),
    Index("stream_ready", "target", "ready_at"),
    Index("stream_leased", "target", "lease_until"),
    Index("stream_of_place", "target", "ready_at", sqlite_where=text("key < 0"), postgresql_where=text("key < 0")),
)

delivery = Table(
    "delivery", metadata,
    Column("num", Num, primary_key=True),
    Column("target", Text, ForeignKey("target.id"), nullable=False),
    Column("stream", BigInteger, ForeignKey("stream.num"), nullable=False),
    Column("resource", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("unsure", Boolean, nullable=False),  # an attempt was made whose outcome nobody knows
    Column("attempts", Integer, nullable=False),
    Column("next_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("changed_at", BigInteger, nullable=False),
    Column("replays", BigInteger, nullable=True),
    Index("delivery_of_stream", "stream", "state"),
    Index("delivery_of_resource", "resource", "target"),
    Index("delivery_in_state", "target", "state", "num"),
)

attempt = Table(
    "attempt", metadata,
    Column("num", Num, primary_key=True),
    Column("delivery", BigInteger, ForeignKey("delivery.num"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=True),
    Column("request", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("status", SmallInteger, nullable=True),
    Column("words", Text, nullable=False),  # the EHR's own: C3
    Column("heads", Text, nullable=True),  # JSON: what was asked and answered, without values and secrets
    Column("bodies", Text, nullable=True),  # of a failed attempt, sealed: C3
    Index("attempt_of_delivery", "delivery"),
)

reconciliation = Table(
    "reconciliation", metadata,  # how a target stood when all of it was last looked at
    Column("target", Text, ForeignKey("target.id"), primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("report", Text, nullable=False),  # JSON: counts by verdict, seconds, and what kept it from being all
)

conflict = Table(
    "conflict", metadata,  # what both we and a target changed, in elements in which not both can be right
    Column("num", Num, primary_key=True),
    Column("target", Text, ForeignKey("target.id"), nullable=False),
    Column("resource", BigInteger, nullable=False),
    Column("delivery", BigInteger, nullable=True),  # the one that could not be made; none where the change came in
    Column("state", Text, nullable=False),  # open, ours, theirs, moot, replaced
    Column("at", BigInteger, nullable=False),
    Column("settled_at", BigInteger, nullable=True),
    Column("elements", Text, nullable=False),  # JSON: their names
    Column("base", LargeBinary, nullable=False),
    Column("ours", LargeBinary, nullable=False),
    Column("theirs", LargeBinary, nullable=False),
    Column("remote_version", Text, nullable=True),
    Column("problems", Text, nullable=True),  # JSON: (path, words, part) of what cannot be taken
    Index("conflict_of_resource", "target", "resource"),
    Index("conflict_in_state", "state", "num"),
)

alarm = Table(
    "alarm", metadata,  # what somebody is to be told of a target, once
    Column("target", Text, ForeignKey("target.id"), nullable=False),
    Column("reason", Text, nullable=False),  # parked, stuck, failing
    Column("figure", BigInteger, nullable=False),  # how many, or how long
    Column("since", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),  # to tell it, without success
    Column("next_at", BigInteger, nullable=False),  # nobody else tells it before
    Column("told_at", BigInteger, nullable=True),
    Column("well_at", BigInteger, nullable=True),  # since when it is not so any more
    PrimaryKeyConstraint("target", "reason"),
)

cursor = Table(
    "cursor", metadata,  # how far the pull of a type from a target has come
    Column("target", Text, ForeignKey("target.id"), nullable=False),
    Column("type", Text, nullable=False),
    Column("at", Text, nullable=True),  # the target's own time of the last change that was seen
    Column("next_at", BigInteger, nullable=False),
    Column("every", BigInteger, nullable=False),
    Column("compared_at", BigInteger, nullable=True),  # when each copy was read the last time
    Column("pulled_at", BigInteger, nullable=True),
    Column("held", Text, nullable=True),  # why it does not go on
    PrimaryKeyConstraint("target", "type"),
)

heard = Table(
    "heard", metadata,  # changes that came in from a target within the hour
    Column("num", Num, primary_key=True),
    Column("target", Text, ForeignKey("target.id"), nullable=False),
    Column("resource", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of what the target said
    Index("heard_of_resource", "target", "resource", "at"),
)

timer = _clustered(
    "timer",  # when what a target is owed of a patient is to be looked at again: a consent begins or ends
    Column("at", BigInteger, nullable=False),
    Column("patient", BigInteger, nullable=False),
    PrimaryKeyConstraint("at", "patient"),
)

milestone = _clustered(
    "milestone",  # where the commit clock stood at a time, so that rows which no page can lead to any more are found
    Column("at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("at"),
)

worker = Table(
    "worker", metadata,
    Column("id", Text, primary_key=True),
    Column("started_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)
