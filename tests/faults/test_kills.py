"""kill -9, again and again, while records are pushed: what was acknowledged is there, nothing is half there, and the EHR gets all of it."""

import os
import random
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.process import started
from service import operating
from service.store import outbox
from service.store.clock import micros
from service.store.targets import Target
from tests.faults.running import Running, children, running
from tests.service.records import clinic, dosing, patient, practitioner
from tests.service.tables import dicts

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found by /proc")]
PATIENTS, PUSHERS = 8, 4


@pytest.fixture
def size(database_url: str) -> tuple[int, int]:
    """(pushes, kills): PostgreSQL, which has no file to corrupt, does with fewer."""
    return (1000, 20) if database_url.startswith("sqlite") else (320, 8)


def test_nothing_acknowledged_is_lost_and_nothing_is_half_published(database_url: str, tmp_path: Path, size: tuple[int, int]) -> None:
    pushes, kills = size
    with started(("plain",)) as sandbox, running(database_url, tmp_path) as deployment:
        target = Target("plain", f"{sandbox}/fhir/r4", "4.0.1", 1, None, "ehr", False, 4, 0, 0, settings={"create_people": True, "private": True})
        now = micros(deployment.service.tenant.now())
        deployment.service.database.write(lambda tx: operating.add_ehr(deployment.service.tenant, tx, target, None, now))
        processes = {"serve": deployment.start("serve"), "work": deployment.start("work")}
        deployment.wait_until_ready()
        session = deployment.session()
        for plural, one in [("practitioners", practitioner()), ("clinics", clinic()), *(("patients", patient(f"p{n}")) for n in range(PATIENTS))]:
            assert deployment.put(session, plural, one).status_code == 201
        acknowledged, over = _pushed_while_killed(deployment, processes, pushes, kills)
        assert over == [] and len(acknowledged) == pushes // 2  # each twice
        _is_there(deployment, acknowledged)
        _arrives(deployment, sandbox)


def _pushed_while_killed(deployment: Running, processes: dict[str, Any], pushes: int, kills: int) -> tuple[dict[str, tuple[int, dict[str, Any]]], list[str]]:
    """Pushes on threads, each record's versions in order, while processes die and are started again: id -> (version, last acknowledged)."""
    acknowledged: dict[str, tuple[int, dict[str, Any]]] = {}
    done, wrong = Counter[int](), list[str]()
    until = time.monotonic() + 240

    def push(pusher: int) -> None:
        session, rng = deployment.session(), random.Random(pusher)
        for n in range(pushes // PUSHERS):
            key = f"d{pusher}-{n % (pushes // PUSHERS // 2)}"  # each is pushed twice
            one = dosing(key, f"p{rng.randrange(PATIENTS) if key not in acknowledged else int(acknowledged[key][1]['patientId'][1:])}", controlledDrugRegisterRef=f"CDR-{n}")
            while time.monotonic() < until:
                try:
                    reply = deployment.put(session, "dosing-encounters", one)
                except requests.RequestException:
                    time.sleep(0.02)
                    continue
                if reply.status_code in (200, 201):
                    acknowledged[key] = (reply.json()["version"], one)
                    break
                if reply.status_code == 422 and "patientId" in reply.text:  # the one before was written, and its answer lost
                    one = {**one, "patientId": session.get(f"{deployment.url}/api/v1/dosing-encounters/{key}", timeout=10).json()["entity"]["patientId"]}
                    continue
                if reply.status_code not in (500, 503):
                    wrong.append(reply.text[:300])
                    return
            done[pusher] += 1

    threads = [threading.Thread(target=push, args=(n,)) for n in range(PUSHERS)]
    for thread in threads:
        thread.start()
    for n in range(kills):
        while sum(done.values()) < (n + 1) * pushes // (kills + 1) and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        _kill(deployment, processes, n)
    for thread in threads:
        thread.join(max(0.0, until + 20 - time.monotonic()))
    if "work" in processes:
        deployment.kill(processes["work"])
    return acknowledged, [*wrong, *(["a push did not end"] if any(thread.is_alive() for thread in threads) else [])]


def _kill(deployment: Running, processes: dict[str, Any], n: int) -> None:
    """The worker; one of gunicorn's processes, which it replaces itself; or gunicorn with all of them."""
    match n % 3:
        case 0:
            deployment.kill(processes["work"])
            processes["work"] = deployment.start("work")
        case 1:
            for pid in children(processes["serve"].pid)[:1]:
                os.kill(pid, signal.SIGKILL)
        case _:
            deployment.kill(processes["serve"])
            processes["serve"] = deployment.start("serve")


def _is_there(deployment: Running, acknowledged: dict[str, tuple[int, dict[str, Any]]]) -> None:
    """Each record at the version that was acknowledged or a later one, and all of each: versions without a hole, all that they yield."""
    database = deployment.service.database
    entities = {row["id"]: row for row in dicts(database, "entity") if row["kind"] == "dosing-encounter"}
    versions = Counter(row["entity"] for row in dicts(database, "entity_version"))
    lost = [key for key, (version, _) in acknowledged.items() if key not in entities or entities[key]["version"] < version]
    assert lost == []
    assert [key for key, row in entities.items() if versions[row["num"]] != row["version"]] == []
    yielded = Counter(row["owner"] for row in dicts(database, "resource"))
    assert len({yielded[row["num"]] for row in entities.values()}) == 1  # all are alike, so that half of one would show
    seqs = {row["from_seq"] for row in dicts(database, "rendering")} | {row["to_seq"] for row in dicts(database, "rendering")}
    assert set(range(1, dicts(database, "clock")[0]["seq"] + 1)) <= seqs
    if database.sqlite:
        with database.glance() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def _arrives(deployment: Running, sandbox: str) -> None:
    """Workers, which nobody kills any more, bring the EHR to hold what it should; what it holds twice is told, and judged elsewhere."""
    database, until = deployment.service.database, time.monotonic() + 120
    worker = deployment.start("work")
    while time.monotonic() < until:
        with database.reading() as connection:
            counts = outbox.counts(connection)
        if not any(counts.get(("plain", state)) for state in ("waiting", "sending")):
            break
        time.sleep(0.2)
    deployment.kill(worker)
    assert not {state: n for (_, state), n in counts.items() if state not in ("delivered", "superseded", "cancelled")}, counts
    held = Counter(row["type"] for row in dicts(database, "resource") if row["num"] in {c["resource"] for c in dicts(database, "copy") if c["remote_id"]})
    there = {type_: n["current"] for type_, n in requests.get(f"{sandbox}/_sandbox/counts", timeout=10).json()["plain"].items()}
    print("twice at the EHR:", {type_: there.get(type_, 0) - n for type_, n in held.items() if there.get(type_, 0) != n})
    assert all(there.get(type_, 0) >= n for type_, n in held.items())
    current = {row["resource"]: row["version"] for row in dicts(database, "rendering") if row["to_seq"] == 2**62 and row["lo"] <= 1 <= row["hi"]}
    assert [row["resource"] for row in dicts(database, "copy") if row["version"] != current[row["resource"]]] == []
