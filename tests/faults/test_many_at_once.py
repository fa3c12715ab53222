"""Sixteen who write, eight who read and one who polls, over HTTP against the service as it is run: nobody loses or misses anything."""

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.faults.running import Running, running
from tests.service.records import clinic, dosing, patient, practitioner

pytestmark = pytest.mark.slow
WRITERS, READERS, SECONDS, MOST = 16, 8, 12, 40
PATIENTS = 4


@pytest.fixture
def deployment(database_url: str, tmp_path: Path) -> Iterator[Running]:
    with running(database_url, tmp_path) as made:
        made.restart()
        session = made.session()
        for plural, one in [("practitioners", practitioner()), ("clinics", clinic()), *(("patients", patient(f"p{n}")) for n in range(PATIENTS))]:
            assert made.put(session, plural, one).status_code == 201
        yield made


@dataclass
class World:
    """What was acknowledged, what the poller saw, and what was wrong."""

    deployment: Running
    acknowledged: dict[str, tuple[int, str]] = field(default_factory=dict)  # key -> (version, id of its Encounter)
    polled: dict[str, str] = field(default_factory=dict)  # id -> versionId
    polls: int = 0
    reads: int = 0
    wrong: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


def record(key: str, version: int) -> dict[str, Any]:
    """A record of which every version has another reference and another heart rate, twice."""
    readings = [{"id": f"r{n}", "at": f"2026-03-02T10:0{n}:00+00:00", "hr": 60 + version} for n in range(2)]
    return dosing(key, f"p{len(key) % PATIENTS}", controlledDrugRegisterRef=f"CDR-{version}", observations=readings)


def write(world: World, writer: int) -> None:
    """An item of a record that all chart, then new records one after another, each changed once."""
    session, until = world.deployment.session(), time.monotonic() + SECONDS
    path = f"{world.deployment.url}/api/v1/dosing-encounters/shared/observations/n{writer}"
    charted = session.put(path, json={"at": "2026-03-02T11:00:00+00:00", "hr": 60}, timeout=30)
    if charted.status_code != 200:
        world.wrong.append(charted.text)
    for n in range(MOST):
        for version in (1, 2):
            key = f"w{writer}-{n}"
            reply = world.deployment.put(session, "dosing-encounters", record(key, version))
            if reply.status_code not in (200, 201) or reply.json()["version"] != version:
                world.wrong.append(reply.text)
                return
            [encounter] = [one["id"] for one in reply.json()["resources"] if one["type"] == "Encounter"]
            world.acknowledged[key] = (version, encounter)
        if time.monotonic() > until:
            return


def read(world: World, reader: int) -> None:
    """What was acknowledged is there, at that version or a later one, and the parts of a record are of the same version."""
    session, rng, url = world.deployment.session(), random.Random(reader), world.deployment.url
    while not world.over.is_set():
        if not world.acknowledged:
            continue
        key = rng.choice(list(world.acknowledged))
        version, encounter = world.acknowledged[key]
        ours = session.get(f"{url}/api/v1/dosing-encounters/{key}", timeout=30).json()
        found = session.get(f"{url}/fhir/r4/Observation?encounter=Encounter/{encounter}&code=8867-4", timeout=30).json()
        rates = [entry["resource"]["valueQuantity"]["value"] for entry in found["entry"]]
        if ours["version"] < version or ours["entity"]["observations"][0]["hr"] != 60 + ours["version"]:
            world.wrong.append(f"{key}: {ours}")
        if len(rates) != 2 or rates[0] != rates[1] or rates[0] < 60 + version:
            world.wrong.append(f"{key}: heart rates {rates} at version {version}")
        world.reads += 1


def poll(world: World) -> None:
    """Asks for what changed since the last of what it has seen, page after page, again and again, and once more at the end."""
    session, since = world.deployment.session(), "2020-01-01T00:00:00Z"
    while True:
        last = world.over.is_set()
        link = f"{world.deployment.url}/fhir/r4/Encounter?_lastUpdated=ge{quote(since)}&_sort=_lastUpdated&_count=25"
        moments, ids = [], list[str]()
        while link:
            page = session.get(link, timeout=30).json()
            for entry in page.get("entry", []):
                one = entry["resource"]
                world.polled[one["id"]] = one["meta"]["versionId"]
                moments.append(one["meta"]["lastUpdated"])
                ids.append(one["id"])
            link = next((one["url"] for one in page["link"] if one["relation"] == "next"), "")
        if moments != sorted(moments) or len(set(ids)) != len(ids):
            world.wrong.append("a poll is out of order, or has something twice")
        since = max([since, *moments])
        world.polls += 1
        if last:
            return


def test_writers_lose_nothing_readers_see_whole_records_and_a_poller_misses_none(deployment: Running) -> None:
    assert deployment.put(deployment.session(), "dosing-encounters", dosing("shared", "p0")).status_code == 201
    world = World(deployment)
    writers = [threading.Thread(target=write, args=(world, n)) for n in range(WRITERS)]
    others = [threading.Thread(target=poll, args=(world,)), *(threading.Thread(target=read, args=(world, n)) for n in range(READERS))]
    for thread in [*writers, *others]:
        thread.start()
    for thread in writers:
        thread.join(60)
    world.over.set()
    for thread in others:
        thread.join(60)
    assert not any(thread.is_alive() for thread in [*writers, *others]) and world.wrong == []
    assert len(world.acknowledged) >= WRITERS * 3 and world.polls >= 3 and world.reads >= READERS
    session = deployment.session()
    current = {}
    for key, (version, encounter) in world.acknowledged.items():
        assert session.get(f"{deployment.url}/api/v1/dosing-encounters/{key}", timeout=10).json()["version"] == version == 2
        current[encounter] = session.get(f"{deployment.url}/fhir/r4/Encounter/{encounter}", timeout=10).json()["meta"]["versionId"]
    assert {encounter: world.polled.get(encounter) for encounter in current} == current
    shared = session.get(f"{deployment.url}/api/v1/dosing-encounters/shared", timeout=10).json()
    assert shared["version"] == 1 + WRITERS and {one["id"] for one in shared["entity"]["observations"]} == {f"n{n}" for n in range(WRITERS)}


def test_a_link_to_the_next_page_survives_a_restart_and_shows_what_was_there_when_it_was_made(deployment: Running) -> None:
    session = deployment.session()
    for n in range(9):
        assert deployment.put(session, "dosing-encounters", record(f"d{n}", 1)).status_code == 201
    link, pages = f"{deployment.url}/fhir/r4/Encounter?_sort=_lastUpdated&_count=4", list[list[str]]()
    before = {entry["resource"]["id"] for entry in session.get(link.replace("_count=4", "_count=100"), timeout=10).json()["entry"]}
    while link:
        page = session.get(link, timeout=10).json()
        pages.append([entry["resource"]["id"] for entry in page["entry"]])
        assert deployment.put(session, "dosing-encounters", record(f"later{len(pages)}", 1)).status_code == 201
        assert deployment.put(session, "dosing-encounters", record(f"d{len(pages)}", 2)).status_code == 200
        deployment.restart()
        link = next((one["url"] for one in page["link"] if one["relation"] == "next"), "")
    assert [len(page) for page in pages] == [4, 4, 1]
    assert {one for page in pages for one in page} == before
