"""People and places at an EHR: who of its own may be ours, and saying who is."""

import click

from service import operating
from service.cli import named, show
from service.cli.ehrs import ehr
from service.cli.wired import now, wired
from service.sync import ehrs, planning
from service.sync.matching import Candidate
from service.sync.outcomes import Outcome
from service.sync.transport import Interrupted, NotReached

COLUMNS = {"resource": "Ours", "remoteId": "Theirs", "agrees": "Agrees", "differs": "Does not", "said": ""}


@ehr.command()
@click.argument("name")
@click.argument("resources", nargs=-1, metavar="[RESOURCE]...")
def match(name: str, resources: tuple[str, ...]) -> None:
    """Ask an EHR who of its own people and places may be ours, and show what agrees.

    RESOURCE is Patient/ID, Practitioner/ID or Organization/ID with the clinic's own key; without one, all that are parked.
    What nobody has linked and one alone agrees in everything is linked by the worker itself; `ehr link` says the rest.
    """
    with wired() as service:
        with service.database.reading() as connection:
            target = named.ehr(connection, name)
            wanted = [(said, operating.linked(service.tenant, connection, name, said)) for said in resources] or planning.unmatched(connection, name)
            asked = [(said, planning.seen_by(connection, target, num, now(service))) for said, num in wanted]
        talk, line = ehrs.rest(service, target)
        try:
            able = ehrs.able(service, target, talk, now(service))
            found = [(said, talk.candidates(body, able)) for said, body in asked if body is not None]
        except (NotReached, Interrupted, ValueError) as error:
            raise show.Failure(f"{target.base_url} does not answer: {error}") from None
        finally:
            line.close()
    rows = [row for said, candidates in found for row in _rows(said, candidates)]
    show.rows(rows, COLUMNS)
    if rows and not show.as_json():
        click.echo(f"To say who it is: pathway-fhir ehr link {name} RESOURCE REMOTE-ID")


def _rows(said: str, found: list[Candidate] | Outcome) -> list[dict[str, object]]:
    if not isinstance(found, list):
        return [{"resource": said, "said": getattr(found, "words", "")}]
    if not found:
        return [{"resource": said, "said": "nobody there comes near"}]
    return [
        {"resource": said, "remoteId": one.remote_id, "agrees": [name for name, yes in one.agrees.items() if yes],
         "differs": [name for name, yes in one.agrees.items() if not yes]}
        for one in found
    ]  # fmt: skip


@ehr.command()
@click.argument("name")
@click.argument("resource")
@click.argument("remote_id")
@click.option("--same-person", is_flag=True, help="Two patients of ours are this one there: they are the same person.")
def link(name: str, resource: str, remote_id: str, same_person: bool) -> None:
    """Link a person or place to what the EHR has of it. RESOURCE is Patient/ID, Practitioner/ID or Organization/ID with the clinic's own key.

    Where it was linked to another before, all that the EHR holds of the patient is sent again, now naming this one.
    """
    with wired() as service:
        service.database.write(lambda tx: operating.link(service.tenant, tx, name, resource, remote_id, same_person=same_person))
    show.done(f"{resource} is {remote_id} at {name}.", ehr=name, resource=resource, remoteId=remote_id)


@ehr.command("catch-up")
@click.argument("name")
def catch_up(name: str) -> None:
    """Look through everything again for what an EHR lacks, and owe it that. The worker does it; `ehr list` shows how far it is."""
    with wired() as service:
        service.database.write(lambda tx: operating.catch_up(tx, name))
    show.done(f"EHR {name} is caught up with from the start.", ehr=name)
