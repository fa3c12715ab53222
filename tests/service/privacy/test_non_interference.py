"""A reader cannot tell two worlds apart that differ in what is withheld from it: not by any answer, and not by what it is sent."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mappings.disclosure import Level
from mappings.kind import Kind
from service import logs
from service.app import create_app
from service.config import Settings
from service.wiring import wire
from tests import postgres
from tests.conftest import SECRET, Clock, Http, token_for
from tests.generate import ALL_KINDS
from tests.service.privacy import twins
from tests.service.privacy.observing import differences, everything_there, observed, owed
from tests.service.privacy.receiver import Receiver, add_ehr, deliver
from tests.service.privacy.twins import Story
from tests.service.worlds import body

PARTNERS = (Level.C0, Level.C1, Level.C2)
SEED = 6  # of stories in which every field that is withheld is told otherwise at least once


class World:
    """One service, in which a story is told. Its readers have the clinic's role, so that no consent of the story is about them."""

    def __init__(self, url: str, level: Level, directory: Path):
        settings = Settings(database_url=url, secret=SECRET, secret_file=directory / "secret", log_level="ERROR", outbound_private=True)
        logs.set_up(settings)
        self.clock, self.receiver, self.ehr = Clock(), Receiver(), level.name.lower()
        self.service = wire(settings, self.clock)
        web = create_app(service=self.service).test_client()
        self.clinic = Http(web, token_for(self.service, role="clinic"))
        self.reader = Http(web, token_for(self.service, int(level), "system/*.rs", role="clinic"))
        for other in PARTNERS:
            add_ehr(self.service, other.name.lower(), int(other), role="clinic")

    def put(self, kind: Kind, it: Any) -> None:
        if it is not None:
            reply = self.clinic.put(f"/api/v1/{kind.plural}/{it.id}", body(it))
            assert reply.status in (200, 201), reply
        self.clock.forward(seconds=1)

    def delete(self, kind: Kind, it: Any) -> None:
        reply = self.clinic.delete(f"/api/v1/{kind.plural}/{it.id}")
        assert reply.status == 200, reply
        self.clock.forward(seconds=1)

    def deliver(self) -> None:
        deliver(self.service, self.ehr, self.receiver)


Pair = tuple[World, World]


@contextmanager
def two_worlds(request: pytest.FixtureRequest, database: str, level: Level, directory: Path) -> Iterator[Pair]:
    with ExitStack() as stack:
        if database == "sqlite":
            urls = [f"sqlite:///{directory}/{name}.db" for name in ("one", "other")]
        else:
            server = request.getfixturevalue("postgres_url")
            urls = [stack.enter_context(postgres.database(server)) for _ in range(2)]
        one, other = (World(url, level, directory) for url in urls)
        stack.callback(one.service.close)
        stack.callback(other.service.close)
        yield one, other


def alike(one: World, other: World, *, one_by_one: bool) -> None:
    """All that the reader can get and all that the EHR of its level is owed and was sent is the same in both."""
    names = sorted({*everything_there(one.service), *everything_there(other.service)})
    found = differences(*(observed(world.reader, names, one_by_one=one_by_one) for world in (one, other)))
    assert not found, f"{len(found)} answers differ:\n" + "\n".join(found[:5])
    assert owed(one.service, one.ehr) == owed(other.service, other.ehr)
    assert one.receiver.asked == other.receiver.asked


def tell(story: Story, one: World, other: World) -> Iterator[bool]:
    """The story, which is the same to a reader of its level in both worlds. Yields where they are to be compared, and whether that is the end."""
    for twin in story.twins:
        one.put(twin.kind, twin.one)
        other.put(twin.kind, twin.others[0])
    one.deliver(), other.deliver()
    for twin in story.twins:  # what is withheld changes, in the other world alone
        one.put(twin.kind, None)
        other.put(twin.kind, twin.others[1])
    for kind, ghost in story.ghosts:
        one.put(kind, None)
        other.put(kind, ghost)
    one.deliver(), other.deliver()
    yield False
    for twin in story.twins:  # what everybody sees changes in both, and some of it was recorded in error
        one.put(twin.kind, twin.later)
        other.put(twin.kind, twin.others_later)
    for kind, ghost in story.ghosts[:2]:
        one.clock.forward(seconds=1)
        other.delete(kind, ghost)
    for twin in reversed(story.twins[1::3]):
        one.delete(twin.kind, twin.one)
        other.delete(twin.kind, twin.one)
    one.deliver(), other.deliver()
    yield True


SQLITE = [pytest.param("sqlite", level, marks=[pytest.mark.slow] if level == Level.C0 else []) for level in PARTNERS]  # C0 takes its time in make test-faults
POSTGRES = [pytest.param("postgresql", level, marks=[pytest.mark.postgres, *([] if level == Level.C1 else [pytest.mark.slow])]) for level in PARTNERS]


@pytest.mark.parametrize("database, level", [*SQLITE, *POSTGRES])
def test_a_reader_cannot_tell_two_worlds_apart_that_differ_in_what_is_withheld_from_it(
    request: pytest.FixtureRequest, database: str, level: Level, tmp_path: Path
) -> None:
    with two_worlds(request, database, level, tmp_path) as (one, other):
        for end in tell(twins.story(SEED, level), one, other):
            alike(one, other, one_by_one=end)


def test_every_field_above_c0_is_told_otherwise_in_these_worlds() -> None:
    told = {(kind, path) for level in PARTNERS for kind, path, _ in twins.ways(twins.story(SEED, level).twins)}
    for kind in ALL_KINDS:
        assert twins.above_c0(kind) - told == set()
