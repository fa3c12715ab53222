"""What would be sent, shown before anything is: of what waits, request by request, and of an EHR that is to be added, type by type."""

from typing import Any

import click

from service.cli import named, show
from service.cli.deliveries import deliveries
from service.cli.ehrs import ehr
from service.cli.wired import now, wired
from service.store.targets import Target
from service.sync import ehrs, rehearsing
from service.sync.abilities import Abilities
from service.sync.rehearsing import Planned
from service.sync.transport import Interrupted, NotReached
from service.wiring import Service

COLUMNS = {"delivery": "No.", "resource": "Resource", "requests": "Requests", "words": ""}
FORECAST = {"type": "Type", "resources": "Resources", "sent": "How"}


@deliveries.command()
@click.option("--ehr", "name", required=True, help="To this EHR.")
@click.option("--patient", help="Of one patient, by the clinic's own key.")
def plan(name: str, patient: str | None) -> None:
    """Show every request that would be made for what waits, in its order, with nothing sent.

    As JSON the requests have their headers, without what lets us in, and their bodies, which are a patient's.
    """
    with wired() as service:
        with service.database.glance() as connection:
            target = named.ehr(connection, name)
            number = named.patient(connection, patient).num if patient is not None else None
        found = [_shown(one) for one in rehearsing.planned(service, target, _able(service, target), number)]
    if not show.as_json():
        found = [{**row, "requests": [f"{one['method']} {one['url'].removeprefix(target.base_url)}" for one in row["requests"]]} for row in found]
    show.rows(found, COLUMNS)


def _shown(one: Planned) -> dict[str, Any]:
    requests = [{"method": r.method, "url": r.url, "headers": dict(r.headers), **({"body": r.body} if r.body is not None else {})} for r in one.requests]
    return {"delivery": one.owed.delivery, "resource": f"{one.owed.type}/{one.owed.uuid}", "requests": requests, "words": one.words}


@ehr.command()
@click.argument("name")
def forecast(name: str) -> None:
    """Show type by type what an EHR is sent of what is there now, in which way, and what it does not take."""
    with wired() as service:
        with service.database.glance() as connection:
            target = named.ehr(connection, name)
        found = rehearsing.forecast(service, target, _able(service, target))
    show.rows(found, FORECAST)


def _able(service: Service, target: Target) -> Abilities:
    talk, line = ehrs.rest(service, target)
    try:
        return ehrs.able(service, target, talk, now(service))
    except (NotReached, Interrupted, ValueError) as error:
        raise show.Failure(f"{target.base_url}/metadata cannot be read: {error}") from None
    finally:
        line.close()
