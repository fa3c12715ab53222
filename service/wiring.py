"""What a process is wired from, handed to every handler."""

from dataclasses import dataclass, field
from typing import Any

import structlog

from mappings import search
from service.config import Settings, secret_of
from service.security.access import Gate
from service.security.assertions import KeySource
from service.store import migrate
from service.store.clock import Now, now_of, restores
from service.store.database import Database
from service.store.index import Parameters
from service.tenant import Tenant, derived
from service.trail import Trail


@dataclass(frozen=True)
class Service:
    settings: Settings
    database: Database
    tenant: Tenant
    gate: Gate
    trail: Trail
    keys: KeySource = field(default_factory=KeySource)
    log: Any = field(default_factory=lambda: structlog.get_logger().bind())

    def close(self) -> None:
        self.trail.close()
        self.database.close()


def index_parameters() -> list[tuple[str, str]]:
    """Every search parameter that has index rows of its own, by type."""
    return [
        (type_, name) for type_, found in search.PARAMETERS.items()
        for name in ["_lastUpdated", *(p.name for p in found.values() if p.rows == p.name)]
    ]  # fmt: skip


def wire(settings: Settings, now: Now | None = None) -> Service:
    """The service of these settings, its schema brought up to date. The time is the database's, where no other is given."""
    secret = secret_of(settings)
    database = Database(settings.database_url)
    numbers = migrate.upgrade(database, index_parameters())
    now = now or now_of(database)
    with database.glance() as connection:
        restored = restores(connection)
    tenant = Tenant(secret, Parameters(numbers, derived(secret, "search index")), settings.rule_thresholds(), now, restored)
    log = structlog.get_logger().bind()  # bound once: a logger that is bound for each line costs as much as the line
    trail = Trail(database, log, sync=settings.audit_reads == "sync")
    return Service(settings, database, tenant, Gate(database, now, rate=settings.rate_limit), trail, log=log)
