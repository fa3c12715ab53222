"""Deliveries: what arrived, what waits, what was refused and why; and putting it right."""

from collections.abc import Callable
from typing import Any

import click
from sqlalchemy import Connection

from service import attempts, operating
from service.cli import named, show, watching
from service.cli.wired import now, wired
from service.store import deliveries as store
from service.store import outbox
from service.store.deliveries import Filter
from service.wiring import Service

COLUMNS = {
    "id": "No.", "ehr": "EHR", "state": "State", "resource.type entity.kind entity.id": "Resource of record", "attempts": "Tries", "reason": "Reason",
}  # fmt: skip
ATTEMPTS = {"number": "Attempt", "at": "At", "outcome": "Outcome", "words": "Words", "said": "Calls"}
STUCK = (outbox.PARKED, outbox.UNSUPPORTED)
CHANGED = 500  # in one transaction
Change = Callable[[Connection, list[int], int], list[int]]


class Age(click.ParamType):  # type: ignore[type-arg]
    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = operating.age(str(value))
        if found is None:
            self.fail(f"{value!r} should be a number and s, m, h or d, such as 10m", param, ctx)
        return found


def filtered(command: Any) -> Any:
    """The options by which deliveries are chosen."""
    for option in (
        click.option("--older-than", type=Age(), help="Owed for longer than this, such as 90s, 10m, 2h or 3d."),
        click.option("--reason", help="With these words in the reason."),
        click.option("--patient", help="Of one patient, by the clinic's own key."),
        click.option("--type", "type_", help="Of one resource type."),
        click.option("--state", "states", multiple=True, type=click.Choice(outbox.STATES), help="In this state; can be given more than once."),
        click.option("--ehr", help="Of one EHR."),
    ):
        command = option(command)
    return command


@click.group()
def deliveries() -> None:
    """What EHRs were sent and are owed."""


@deliveries.command("list")
@filtered
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many at most, the newest first.")
@click.option("--summary", is_flag=True, help="How many there are in each state, EHR by EHR.")
@watching.watch
def list_(ehr: str | None, limit: int, summary: bool, watch: bool, **given: Any) -> None:
    """Show deliveries."""
    with wired() as service:
        if summary:
            watching.shown(lambda: _summary(service, ehr), again=watch)
        else:
            watching.shown(lambda: _list(service, ehr=ehr, limit=limit, **given), again=watch)


def _list(service: Service, **given: Any) -> None:
    with service.database.reading() as connection:
        found = store.listed(connection, _filter(service, connection, **given))
    show.rows([operating.described(d, words=True) for d in found], COLUMNS)


def _summary(service: Service, ehr: str | None) -> None:
    with service.database.reading() as connection:
        counts = outbox.counts(connection, named.an_ehr(connection, ehr))
    show.rows([{"ehr": e, "state": s, "count": n} for (e, s), n in sorted(counts.items())], {"ehr": "EHR", "state": "State", "count": "Count"})


@deliveries.command("show")
@click.argument("number", type=named.NUMBER)
@click.option("--attempt", type=click.IntRange(1), help="One attempt, with the bodies of its calls: what is kept of them if it failed.")
def show_(number: int, attempt: int | None) -> None:
    """Show one delivery with the log of its attempts: what was asked and answered, call by call."""
    with wired() as service, service.database.reading() as connection:
        found = store.one(connection, number)
        if found is None:
            raise show.Failure(f"There is no delivery {number}", show.NOT_FOUND)
        if attempt is None:
            _one(operating.described(found, words=True))
        elif attempt > len(found.log):
            raise show.Failure(f"Delivery {number} has {len(found.log)} attempts", show.NOT_FOUND)
        else:
            _attempt(attempts.with_bodies(service.tenant, number, attempt, found.log[attempt - 1]))


def _one(said: dict[str, Any]) -> None:
    if show.as_json():
        show.one(said)
        return
    show.one({name: value for name, value in said.items() if name != "log"})
    show.table([{**one, "said": [_line(call) for call in one["calls"]]} for one in said.get("log", [])], ATTEMPTS)


def _attempt(said: dict[str, Any]) -> None:
    """An attempt as it went over the line, call by call."""
    if show.as_json():
        show.one(said)
        return
    show.one({name: value for name, value in said.items() if name != "calls"})
    for call in said["calls"]:
        answered = [str(call.get("status") or call["problem"]), *_side(call, "response")]
        show.text("\n".join(["", f"{call['method']} {call['path']}", *_side(call, "request"), *answered]))


def _line(call: dict[str, Any]) -> str:
    return f"{call['method']} {call['path']}: {call.get('status') or call.get('problem')}"


def _side(call: dict[str, Any], name: str) -> list[str]:
    """Headers and body of a request or a response."""
    return [*(f"{header}: {value}" for header, value in call.get(f"{name}Headers", {}).items()), call.get(f"{name}Body", "")]


@deliveries.command()
@click.argument("numbers", type=named.NUMBER, nargs=-1)
@filtered
def replay(numbers: tuple[int, ...], **given: Any) -> None:
    """Owe again. The current content is sent, in a new delivery that names the old one.

    Without numbers, all that the options choose: of those that are parked or unsupported, if no state is given.
    """
    _change(store.replay, numbers, "owed again", given)


@deliveries.command()
@click.argument("numbers", type=named.NUMBER, nargs=-1)
@filtered
def cancel(numbers: tuple[int, ...], **given: Any) -> None:
    """Give up. It is owed again only when its content changes or it is replayed.

    Without numbers, all that the options choose: of those that are parked or unsupported, if no state is given.
    """
    _change(store.cancel, numbers, "cancelled", given)


def _change(change: Change, numbers: tuple[int, ...], said: str, given: dict[str, Any]) -> None:
    chooses = any(value not in (None, ()) for value in given.values())
    if not numbers and not chooses:
        raise click.UsageError("Give numbers of deliveries, or options by which they are chosen.")
    with wired() as service:
        wanted = sorted(set(numbers))
        if chooses:
            with service.database.reading() as connection:
                chosen = store.listed(connection, _filter(service, connection, limit=100_000, **{**given, "states": given["states"] or STUCK}))
            wanted = sorted({*wanted, *(d.num for d in chosen)})
        done: list[int] = []
        for start in range(0, len(wanted), CHANGED):
            some = wanted[start : start + CHANGED]
            done += service.database.write(lambda tx, some=some: change(tx, some, now(service)))  # type: ignore[misc]
    show.done(f"{len(done)} {said}.", numbers=done)
    missing = sorted(set(wanted) - set(done))
    if missing:
        raise show.Failure(f"Not {said}, for their state does not allow it or they are not there: {', '.join(map(str, missing[:20]))}", show.REFUSED)


def _filter(service: Service, connection: Connection, *, limit: int, **given: Any) -> Filter:
    number = named.patient(connection, given["patient"]).num if given["patient"] is not None else None
    owed_before = now(service) - given["older_than"] if given["older_than"] is not None else None
    return Filter(named.an_ehr(connection, given["ehr"]), given["states"], given["type_"], number, None, given["reason"], limit=limit, owed_before=owed_before)
