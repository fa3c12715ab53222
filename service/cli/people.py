"""People and places at an EHR: who of its own may be ours, and saying who is."""

import click

from service import operating
from service.cli import named, show
from service.cli.ehrs import ehr
from service.cli.wired import now, wired
from service.errors import Unprocessable
from service.sync import ehrs, planning
from service.sync.matching import Candidate, agreement
from service.sync.outcomes import NOT_THERE, Outcome
from service.sync.transport import Interrupted, NotLetIn, NotReached
from service.wiring import Service

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
@click.option("--unseen", is_flag=True, help="Link without a look at what is there: for an EHR that cannot be asked.")
def link(name: str, resource: str, remote_id: str, same_person: bool, unseen: bool) -> None:
    """Link a person or place to what the EHR has of it. RESOURCE is Patient/ID, Practitioner/ID or Organization/ID with the clinic's own key.

    It is read there first, and what agrees is shown, never what it says. Where it was linked to another before, all that the EHR
    holds of the patient is sent again, now naming this one, and so is what was refused under the other.
    """
    with wired() as service:
        agrees = {} if unseen else _agreement(service, name, resource, remote_id)
        service.database.write(lambda tx: operating.link(service.tenant, tx, name, resource, remote_id, same_person=same_person))
    said = {"agrees": [one for one, yes in agrees.items() if yes], "differs": [one for one, yes in agrees.items() if not yes]}
    words = "".join(f" It {verb}: {', '.join(said[of])}." for of, verb in (("agrees", "agrees in"), ("differs", "does not in")) if said[of])
    show.done(f"{resource} is {remote_id} at {name}.{words}", ehr=name, resource=resource, remoteId=remote_id, **({} if unseen else said))


def _agreement(service: Service, name: str, resource: str, remote_id: str) -> dict[str, bool]:
    """What agrees of ours and theirs, and whether it does. Raises Failure where the EHR has none such or cannot be asked."""
    if problems := operating.wrong_link(remote_id):
        raise Unprocessable(problems=problems)
    with service.database.reading() as connection:
        target, num = named.ehr(connection, name), operating.linked(service.tenant, connection, name, resource)
        ours = planning.seen_by(connection, target, num, now(service))
    type_ = resource.partition("/")[0]
    talk, line = ehrs.rest(service, target)
    try:
        reply = talk.get(f"/{type_}/{remote_id}")
    except (NotReached, Interrupted, NotLetIn) as error:
        raise show.Failure(f"{target.base_url} does not answer: {error}; --unseen links without a look") from None
    finally:
        line.close()
    theirs = reply.json() or {}
    if reply.status in NOT_THERE or (reply.status == 200 and (theirs.get("resourceType"), theirs.get("id")) != (type_, remote_id)):
        raise show.Failure(f"{name} has no {type_}/{remote_id}: nothing is linked", show.REFUSED)
    if reply.status != 200:
        raise show.Failure(f"{name} does not let {type_}/{remote_id} be read ({reply.status}); --unseen links without a look")
    return agreement(ours, theirs) if ours is not None else {}


@ehr.command("catch-up")
@click.argument("name")
def catch_up(name: str) -> None:
    """Look through everything again for what an EHR lacks, and owe it that. The worker does it; `ehr list` shows how far it is."""
    with wired() as service:
        service.database.write(lambda tx: operating.catch_up(tx, name))
    show.done(f"EHR {name} is caught up with from the start.", ehr=name)
