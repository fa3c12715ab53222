"""The data: backup and restore, one record mapped without a database, the audit trail verified."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from mappings import KINDS
from service.app import create_app
from service.config import Settings
from service.store import recovery
from service.store.database import Database
from service.sync.worker import Worker
from service.wiring import wire
from tests.cli.conftest import Said
from tests.conftest import EXAMPLES, Http, examples
from tests.service.records import patient, put

Run = Callable[..., Said]


def test_migrate_can_be_run_alone_and_again(run: Run) -> None:
    assert run("migrate").code == 0
    assert run("migrate").code == 0


def test_a_restore_brings_back_what_was_backed_up(run: Run, pushed: Http, tmp_path: Path) -> None:
    path = str(tmp_path / "backup.db")
    before = pushed.get("/api/v1/screenings/ann-screening").json
    assert run("backup", path).code == 0
    pushed.delete("/api/v1/screenings/ann-screening")
    assert pushed.get("/api/v1/screenings/ann-screening").json["erased"]
    pushed.web.application.extensions["pathway"].close()
    refused = run("restore", path)
    assert refused.code == 4 and "--yes" in refused.err, refused
    assert run("restore", path, "--yes").code == 0
    token = run("client", "token", "clinic").out.strip()
    again = Http(pushed.web, token).get("/api/v1/screenings/ann-screening")
    assert again.json["entity"] == before["entity"] and "erased" not in again.json, again


def test_a_restore_is_refused_while_the_service_has_the_database_open_and_changes_nothing(run: Run, pushed: Http, tmp_path: Path) -> None:
    path = str(tmp_path / "backup.db")
    run("backup", path)
    pushed.delete("/api/v1/screenings/ann-screening")
    refused = run("restore", path, "--yes")
    assert refused.code == 4 and "stop it first" in refused.err, refused
    assert pushed.get("/api/v1/screenings/ann-screening").json["erased"]


def test_who_starts_while_a_restore_is_under_way_finds_all_of_it_done(run: Run, pushed: Http, given: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "backup.db")
    run("backup", path)
    pushed.web.application.extensions["pathway"].close()
    marked, restored = recovery.make_unsure, list[int]()

    def make_unsure(*known: Any) -> int:
        starts.start()
        starts.join(0.2)
        return marked(*known)

    def start() -> None:
        service = wire(given)
        restored.append(service.tenant.restores)
        service.close()

    starts = threading.Thread(target=start)
    monkeypatch.setattr(recovery, "make_unsure", make_unsure)
    assert run("restore", path, "--yes").code == 0
    starts.join(30)
    assert restored and restored[0] > 0


def test_a_restore_by_another_path_to_the_same_file_is_refused_too(run: Run, pushed: Http, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "backup.db")
    run("backup", path)
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setenv("PATHWAY_FHIR_DATABASE_URL", f"sqlite:///{tmp_path}/link/pathway.db")
    assert run("restore", path, "--yes").code == 4


def test_a_restore_into_a_server_that_is_not_there_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "backup").write_bytes(b"PGDMP")
    monkeypatch.setenv("PATHWAY_FHIR_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    said = run("restore", str(tmp_path / "backup"), "--yes")
    assert said.code == 1 and "The restore failed" in said.err, said


def test_a_restore_gives_no_version_a_second_time_however_often_a_backup_is_restored(run: Run, pushed: Http, tmp_path: Path) -> None:
    run("backup", str(tmp_path / "backup.db"))
    ann = next(entity for plural, id_, entity in examples() if (plural, id_) == ("patients", "ann"))
    given: list[int] = []
    again: list[int] = []
    seen: list[str] = []
    clinic = pushed
    for _ in range(3):
        for gender in ("other", "male"):
            given.append(clinic.put("/api/v1/patients/ann", {**ann, "gender": gender}).json["version"])
            [resource] = clinic.found("/fhir/r4/Patient?identifier=ann")
            seen.append(resource["meta"]["versionId"])
        again.append(put(clinic, "patients", patient("late")).json["version"])  # which is not in the backup
        clinic.web.application.extensions["pathway"].close()
        assert run("restore", str(tmp_path / "backup.db"), "--yes").code == 0
        clinic = Http(create_app().test_client(), run("client", "token", "clinic").out.strip())
    assert given == sorted(set(given)) and again == sorted(set(again)) and len(set(seen)) == len(seen) == 6
    assert clinic.get("/api/v1/patients/ann").json["version"] > given[-1]
    clinic.web.application.extensions["pathway"].close()


def test_versions_go_on_above_those_of_a_database_that_is_lost(given: Settings, pushed: Http) -> None:
    """The same backup, restored twice, a day apart, where nobody knows what was written meanwhile."""
    def restored(day: int) -> list[int]:
        database.write(lambda tx: tx.execute(text("UPDATE entity SET version = 1")))  # as the backup has it
        database.write(lambda tx: tx.execute(text("UPDATE clock SET restores = 0")))
        database.write(lambda tx: recovery.make_unsure(tx, 0, 1_775_000_000_000_000 + day * 86_400_000_000))
        with database.reading() as connection:
            return list(connection.execute(text("SELECT restores, (SELECT max(version) FROM entity) FROM clock")).one())

    database = Database(given.database_url)
    (first, version), (second, later) = restored(0), restored(1)
    assert (first, version) == (197_163_201, 197_163_201) and (second - first, later - version) == (86_400, 86_400)
    database.close()


def test_a_page_from_before_a_restore_is_not_gone_on_with_after_it(run: Run, pushed: Http, tmp_path: Path) -> None:
    run("backup", str(tmp_path / "backup.db"))
    further = pushed.get("/fhir/r4/Observation?_count=2").link("next")
    assert pushed.get(further).status == 200
    pushed.web.application.extensions["pathway"].close()
    run("restore", str(tmp_path / "backup.db"), "--yes")
    again = Http(create_app().test_client(), run("client", "token", "clinic").out.strip())
    assert again.get(further).status == 400
    again.web.application.extensions["pathway"].close()


def test_a_restore_ends_the_tokens_that_were_given_out(run: Run, pushed: Http, tmp_path: Path) -> None:
    run("backup", str(tmp_path / "backup.db"))
    pushed.web.application.extensions["pathway"].close()
    run("restore", str(tmp_path / "backup.db"), "--yes")
    fresh = create_app().test_client()
    assert Http(fresh, pushed.token).get("/api/v1/patients/ann").status == 401
    fresh.application.extensions["pathway"].close()


def test_a_backup_overwrites_no_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "there.db"
    path.write_text("something else")
    said = run("backup", str(path))
    assert said.code == 4 and path.read_text() == "something else"


def test_what_is_no_backup_is_refused_and_nothing_is_lost(run: Run, pushed: Http, tmp_path: Path) -> None:
    path = tmp_path / "no.db"
    path.write_text("not a database at all")
    pushed.web.application.extensions["pathway"].close()
    assert run("restore", str(path), "--yes").code == 1
    assert pushed.get("/api/v1/patients/ann").status == 200


@pytest.mark.parametrize(("plural", "id_"), [(plural, id_) for plural, id_, _ in examples()])
def test_every_example_maps_without_a_database(run: Run, plural: str, id_: str) -> None:
    kind = next(kind.name for kind in KINDS.values() if kind.plural == plural)
    said = run("map", str(EXAMPLES / plural / f"{id_}.json"), "--kind", kind)
    assert said.code == 0, said
    bundle = json.loads(said.out)
    assert bundle["entry"] and all(e["resource"]["id"] for e in bundle["entry"])


def test_a_lower_view_maps_to_what_it_sees_alone(run: Run) -> None:
    file = str(EXAMPLES / "emdr-procedures" / "ann-emdr-1.json")
    full, lower = (json.loads(run("map", file, "--kind", "emdr-procedure", "--view", view).out) for view in ("C3", "C1"))
    assert len(full["entry"]) > len(lower["entry"]) > 0


def test_mapping_names_every_problem_of_a_record_at_once(run: Run, tmp_path: Path) -> None:
    wrong = json.loads((EXAMPLES / "patients" / "ann.json").read_text()) | {"birthDate": "1986-02-30", "shoeSize": 38}
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    said = run("map", str(tmp_path / "wrong.json"), "--kind", "patient")
    assert said.code == 4 and "/birthDate" in said.err and "/shoeSize" in said.err, said


def test_an_audit_trail_that_nobody_touched_holds(run: Run, given: Settings, pushed: Http) -> None:
    seal(given)
    said = run("audit", "verify")
    assert said.code == 0 and said.rows[0]["rows"] > len(examples()), said


@pytest.mark.parametrize("change", ["UPDATE audit SET client = 'nobody' WHERE num = 3", "DELETE FROM audit WHERE num = 3"])
def test_an_audit_trail_that_was_changed_says_where(run: Run, given: Settings, pushed: Http, change: str) -> None:
    seal(given)
    database = Database(given.database_url)
    database.write(lambda tx: tx.execute(text(change)))
    database.close()
    said = run("audit", "verify")
    assert said.code == 1 and ("is 3" in said.err or "is 4" in said.err), said


def seal(given: Settings) -> None:
    """What a worker does each second."""
    service = wire(given)
    worker = Worker(service)
    worker.run(until_idle=True)
    service.close()
