"""SMART Backend Services from our side, against an authorization server that lets nothing pass: S1 to S8, E5, E6 and R5 of what EHRs do."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from typing import Any

import pytest
from structlog.testing import CapturingLogger

from service import operating
from service.config import Settings
from service.connecting import origin
from service.security import keys
from service.store import access, alarms, signing_keys, targets
from service.store.clock import micros
from service.store.targets import Target
from service.sync.access import Access
from service.sync.auth import Tokens, discovered, given, good_for
from service.sync.outcomes import Reply
from service.sync.transport import Line, NotLetIn
from service.wiring import Service
from tests.conftest import Clock, Http
from tests.service.records import dosing, patient, people, practitioner, put
from tests.sync.authority import CLIENT, Authority, authority, unpacked
from tests.sync.conftest import Connect, deliveries, states
from tests.sync.scripted import says, scripted
from tests.sync.small import Small

Work = Callable[[], int]
Add = Callable[..., Target]
MINUTE = 60 * 1_000_000


@pytest.fixture
def trust(clock: Clock, web: Any) -> Iterator[Authority]:
    """The EHR's authorization server, which reads our keys where anybody reads them."""
    with authority(clock, lambda: Http(web, None).get("/.well-known/jwks.json").json) as made:
        yield made


@pytest.fixture
def key(service: Service) -> Callable[..., str]:
    def key(alg: str = "ES384", **more: Any) -> str:
        made = keys.made(service.tenant, alg, more.pop("target", None), micros(service.tenant.now()), **more)
        service.database.write(lambda tx: signing_keys.add(tx, made))
        return made.kid

    return key


@pytest.fixture
def add(service: Service, ehr: Small, trust: Authority, connect: Connect) -> Add:
    """Registers the EHR as a client of its authorization server's."""

    def add(*, discovers: bool = True, alg: str = "ES384", scope: str = "system/*.cruds", **settings: Any) -> Target:
        ehr.configuration, ehr.allows = {"token_endpoint": trust.token_url}, trust.allows
        auth = {"type": "smart", "client_id": CLIENT, "token_url": trust.token_url, "origin": origin(trust.token_url), "discovered": discovers,
                "alg": alg, "scope": scope}  # fmt: skip
        connect("trust", ehr.base, 1, auth=auth, **settings)
        return target(service)

    return add


def target(service: Service) -> Target:
    with service.database.glance() as connection:
        found = targets.get(connection, "trust")
    assert found is not None
    return found


def kept(service: Service) -> access.Access:
    with service.database.glance() as connection:
        return access.get(connection, "trust")


def shown(service: Service) -> dict[str, Any]:
    with service.database.reading() as connection:
        return operating.one_ehr(connection, "trust", micros(service.tenant.now()))


def decoded(form: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of the assertion in a token request."""
    header, claims, _ = form["client_assertion"].split(".")
    return json.loads(unpacked(header)), json.loads(unpacked(claims))


# --- S1, S2, S3: who we are


@pytest.mark.parametrize("alg", ["RS384", "ES384"])
def test_an_assertion_is_signed_as_smart_asks_and_gets_a_token(service: Service, add: Add, trust: Authority, key: Any, clock: Clock, alg: str) -> None:
    kid = key(alg)
    token = Tokens(service, add(alg=alg)).new()
    assert token.headers == {"Authorization": f"Bearer {trust.given[0]}"} and not trust.refused
    header, claims = decoded(trust.asked[0])
    assert header == {"typ": "JWT", "alg": alg, "kid": kid}
    assert set(claims) == {"iss", "sub", "aud", "exp", "jti"} and claims["iss"] == claims["sub"] == CLIENT and claims["aud"] == trust.token_url
    assert 0 < claims["exp"] - clock().timestamp() <= 300


def test_the_audience_is_the_token_endpoint_to_the_letter(service: Service, add: Add, trust: Authority, ehr: Small, key: Any) -> None:
    key()
    found = add()
    trust.token_url += "?tenant=Trust%20One"
    ehr.configuration = {"token_endpoint": trust.token_url}
    Tokens(service, found).new()
    assert decoded(trust.asked[0])[1]["aud"] == trust.token_url and not trust.refused


def test_no_two_assertions_are_the_same_however_many_are_made_at_once(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    tokens = [Tokens(service, add()) for _ in range(1)] * 24
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.new(), tokens))
    jtis = [decoded(form)[1]["jti"] for form in trust.asked]
    assert len(trust.given) == len(set(jtis)) == 24 and not trust.refused


def test_old_and_new_key_overlap_so_that_an_ehr_that_keeps_our_key_set_is_never_surprised(
    service: Service, add: Add, trust: Authority, key: Any, clock: Clock, web: Any
) -> None:
    old = key()
    tokens, cached = Tokens(service, add()), trust.keys()
    trust.keys = lambda: cached
    new = key(overlap=10 * MINUTE)
    tokens.new()
    clock.forward(minutes=5)
    cached = Http(web, None).get("/.well-known/jwks.json").json  # as Cache-Control lets it
    tokens.new()
    clock.forward(minutes=5)
    tokens.new()
    assert [decoded(form)[0]["kid"] for form in trust.asked] == [old, old, new] and not trust.refused
    service.database.write(lambda tx: keys.retire(tx, old, micros(clock())))
    tokens.new()
    assert not trust.refused


def test_an_ehr_may_have_a_key_of_its_own(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    found = add()
    own = key(target="trust")
    Tokens(service, found).new()
    assert decoded(trust.asked[0])[0]["kid"] == own


def test_without_a_key_nothing_is_asked_and_what_to_do_is_said(service: Service, add: Add, trust: Authority) -> None:
    with pytest.raises(NotLetIn, match="pathway-fhir ehr keys generate --alg ES384"):
        Tokens(service, add()).new()
    assert not trust.asked


# --- S4, E6: how long a token is good


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (300, 270), (60, 54), ("300", 270), ("60", 54), (570, 540), (59.9, 53.91), (0, 300), ("0", 300), (None, 300), (-5, 300), ("soon", 300), (True, 300),
        ([300], 300), ("nan", 300), (1e300, 3570), ("inf", 3570), (3600, 3570), (86_400, 3570), (1, 0.9),
    ],
)  # fmt: skip
def test_a_token_is_used_for_most_of_its_life(said: Any, seconds: float) -> None:
    assert good_for(said) == pytest.approx(seconds)


@pytest.mark.parametrize("life", [300, 60, 0, None, "300", "nonsense"])
def test_a_token_serves_many_calls_whatever_is_said_of_its_life(service: Service, add: Add, trust: Authority, key: Any, clock: Clock, life: Any) -> None:
    key()
    ours, trust.life = Access(service, add()), life
    for _ in range(50):
        ours.answered(ours.headers(), 200)
        clock.forward(seconds=1)
    assert len(trust.asked) == 1


@pytest.mark.parametrize(("life", "lasts"), [(300, 270), (60, 54), ("60", 54)])
def test_a_token_is_replaced_before_it_ends(service: Service, add: Add, trust: Authority, key: Any, clock: Clock, life: Any, lasts: int) -> None:
    key()
    ours, trust.life = Access(service, add()), life
    first = ours.headers()
    clock.forward(seconds=lasts - 0.1)
    assert ours.headers() == first
    clock.forward(seconds=0.1)
    assert ours.headers() != first and len(trust.asked) == 2


def test_threads_that_need_a_token_at_once_ask_for_one(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    ours, slow = Access(service, add()), threading.Event()
    trust.instead = lambda: (slow.wait(0.2) and None) or None
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ours.headers()["Authorization"], range(8)))
    assert len(trust.asked) == 1 and len(set(found)) == 1


# --- S7: clocks


@pytest.mark.parametrize("skew", [-58, -30, 0, 30, 200])
def test_a_clock_that_is_not_quite_ours_lets_us_in(service: Service, add: Add, trust: Authority, key: Any, skew: int) -> None:
    key()
    trust.skew = skew
    Tokens(service, add()).new()
    assert not trust.refused


@pytest.mark.parametrize(("skew", "said"), [(-400, "Its clock is 400 s behind ours"), (3600, "Its clock is 3600 s ahead of ours")])
def test_a_clock_that_is_far_from_ours_is_named_as_what_may_be_wrong(service: Service, add: Add, trust: Authority, key: Any, skew: int, said: str) -> None:
    key()
    trust.skew = skew
    with pytest.raises(NotLetIn, match=said):
        Tokens(service, add()).new()


# --- what is no token


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            401,
            {"error": "invalid_client"},
            "does not know us by this client id and key, or not yet (401 invalid_client). We are client pathway-at-trust with key k",
        ),
        (400, {"error": "invalid_scope", "error_description": "no *\r\nX: 1"}, "does not give the scopes that are asked for (400 invalid_scope: no *  X: 1)"),
        (400, {"error": 5}, "gives no token (400"),
        (403, b"<html>Forbidden", "gives no token (403 <html>Forbidden)"),
        (404, b"", "gives no token (404)"),
        (302, b"", "redirects, which is not followed (302)"),
        (500, b"", "gives no token (500)"),
        (200, b"", "answers with no token"),
        (200, {"access_token": "two\nlines"}, "answers with no token"),
        (200, {"access_token": ""}, "answers with no token"),
        (200, {"access_token": "a b"}, "answers with no token"),
        (200, {"access_token": "\u00fc"}, "answers with no token"),
        (200, {"access_token": ["x"]}, "answers with no token"),
        (200, {"access_token": "x", "token_type": "mac"}, "answers with a token that is no bearer token"),
    ],
)
def test_an_answer_that_is_no_token_is_told_in_words(status: int, body: Any, words: str) -> None:
    with pytest.raises(NotLetIn) as refused:
        given(Reply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode()), CLIENT, "k", 0)
    assert refused.value.words.startswith(f"Its token endpoint {words}"), refused.value.words


@pytest.mark.parametrize("kind", ["bearer", "Bearer", "BEARER", None])
def test_a_bearer_token_is_one_however_it_is_spelt(kind: str | None) -> None:
    said = {"access_token": "x", **({"token_type": kind} if kind else {})}
    assert given(Reply(200, {}, json.dumps(said).encode()), CLIENT, "k", 0).headers == {"Authorization": "Bearer x"}


def test_a_token_is_in_no_text_that_is_made_of_it() -> None:
    assert "secret" not in repr(given(Reply(200, {}, b'{"access_token": "secret"}'), CLIENT, "k", 0))


def test_a_token_endpoint_that_redirects_is_not_followed(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    found = add()
    with scripted(says(b'HTTP/1.1 200 OK\r\nContent-Length: 24\r\nConnection: close\r\n\r\n{"access_token": "evil1"}')) as elsewhere:
        trust.instead = lambda: (307, {"Location": elsewhere.base}, b"")
        with pytest.raises(NotLetIn, match="not followed"):
            Tokens(service, found).new()
        assert not elsewhere.asked


def test_a_token_endpoint_that_drips_ends_at_the_deadline(service: Service, add: Add, key: Any, settings: Settings) -> None:
    from dataclasses import replace

    key()
    found = add(discovers=False)
    quick = replace(service, settings=replace(settings, send_seconds=0.5))
    with scripted(lambda connection, _: threading.Event().wait(2)) as ehr:
        slow = replace(found, settings={**found.settings, "auth": {**found.settings["auth"], "token_url": f"http://127.0.0.1:{ehr.port}/token"}})
        with pytest.raises(NotLetIn, match=r"does not answer: no answer within 0\.5 s") as error:
            Tokens(quick, slow).new()
    assert error.value.soon


# --- where tokens come from


@pytest.mark.parametrize("said", [b"", b"{}", b"[]", b'{"token_endpoint": 5}', b"<html>"], ids=["nothing", "no endpoint", "no object", "no text", "no JSON"])
def test_a_configuration_that_names_no_token_endpoint_is_none(said: bytes) -> None:
    answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
    with scripted(says(answer)) as ehr, pytest.raises(ValueError, match="names no token endpoint"):
        discovered(Line(private=True, seconds=5), ehr.base)


def test_a_configuration_is_read_as_far_as_it_can_be_understood() -> None:
    said = json.dumps({"token_endpoint": "https://x.test/t", "token_endpoint_auth_signing_alg_values_supported": ["ES384", 5],
                       "token_endpoint_auth_methods_supported": "private_key_jwt"}).encode()  # fmt: skip
    with scripted(says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))) as ehr:
        found = discovered(Line(private=True, seconds=5), ehr.base)
    assert (found.token_url, found.algorithms, found.methods, found.takes("ES384"), found.takes("RS384")) == ("https://x.test/t", ("ES384",), (), True, False)


def test_an_ehr_that_names_another_origin_than_when_it_was_added_is_told_nothing(
    service: Service, add: Add, trust: Authority, ehr: Small, key: Any, clock: Clock
) -> None:
    key()
    ours = Access(service, add())
    ours.headers()
    with authority(clock, trust.keys) as evil:
        ehr.configuration = {"token_endpoint": evil.token_url}
        clock.forward(hours=1)
        with pytest.raises(NotLetIn, match="nothing is sent there"):
            ours.headers()
        assert not evil.asked
    assert evil.origin in shown(service)["problem"] and trust.origin in shown(service)["problem"]


def test_an_ehr_that_moves_its_token_endpoint_within_its_origin_is_followed(
    service: Service, add: Add, trust: Authority, ehr: Small, key: Any, clock: Clock
) -> None:
    key()
    tokens = Tokens(service, add())
    tokens.new()
    trust.token_url = f"{trust.origin}/v2/token"
    ehr.configuration = {"token_endpoint": trust.token_url}
    clock.forward(hours=1)
    tokens.new()
    assert not trust.refused


def test_a_configuration_that_cannot_be_read_leaves_the_endpoint_as_it_was(service: Service, add: Add, trust: Authority, ehr: Small, key: Any) -> None:
    key()
    found = add()
    ehr.configuration = None
    assert Tokens(service, found).new().headers and not trust.refused


def test_an_endpoint_that_was_given_is_not_looked_for(service: Service, add: Add, ehr: Small, key: Any) -> None:
    key()
    Tokens(service, add(discovers=False)).new()
    assert not ehr.asked


# --- S5: less than was asked for


def test_an_ehr_that_grants_less_than_was_asked_for_is_shown_as_degraded(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    ours = Access(service, add())
    assert shown(service)["lacking"] == []
    trust.scope = "system/*.rs"
    ours.headers()
    assert (shown(service)["state"], shown(service)["lacking"]) == ("degraded", ["system/*.cud"])


def test_only_what_an_ehr_is_sent_can_be_lacking(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    ours = Access(service, add(types=["Observation", "Encounter"]))
    trust.scope = "system/Observation.cruds"
    ours.headers()
    assert shown(service)["lacking"] == ["system/Encounter.cruds"]


@pytest.mark.parametrize("scope", ["as asked", None, "system/*.cruds system/*.read", "system/*.*"])
def test_an_ehr_that_grants_all_or_says_nothing_of_it_is_not(service: Service, add: Add, trust: Authority, key: Any, scope: str | None) -> None:
    key()
    ours, trust.scope = Access(service, add()), scope
    ours.headers()
    assert (shown(service)["state"], shown(service)["lacking"]) == ("open", [])


def test_an_ehr_that_grants_the_rest_later_is_no_longer_degraded(service: Service, add: Add, trust: Authority, key: Any, clock: Clock) -> None:
    key()
    ours, trust.scope = Access(service, add()), "system/*.rs"
    ours.headers()
    trust.scope = "as asked"
    clock.forward(seconds=300)
    ours.headers()
    assert shown(service)["state"] == "open"


# --- S6, S8: a worker with tokens


@pytest.fixture
def recorded(clinic: Http) -> Http:
    people(clinic)
    put(clinic, "dosing-encounters", dosing(observations=[{"id": f"r{n}", "at": f"2026-03-02T10:{n:02}:00+00:00", "hr": 60 + n} for n in range(10)]))
    return clinic


def test_a_batch_is_sent_with_one_token(recorded: Http, add: Add, trust: Authority, ehr: Small, work: Work, key: Any) -> None:
    key()
    add()
    work()
    assert states(recorded)["delivered"] > 20 and states(recorded)["waiting"] == 0 and len(trust.given) == 1
    assert {headers.get("Authorization") for method, path, headers in ehr.asked if "Observation" in path} == {f"Bearer {trust.given[0]}"}


def test_a_token_that_ends_in_the_middle_of_a_batch_is_replaced_once_and_everything_arrives(
    recorded: Http, add: Add, trust: Authority, ehr: Small, work: Work, key: Any
) -> None:
    key()
    add()
    ehr.before = lambda method, path: trust.revoke() if len(ehr.writes) == 12 and len(trust.given) == 1 else None
    work()
    assert states(recorded)["waiting"] == 0 and states(recorded)["parked"] == 0 and len(trust.given) == 2
    assert len(ehr.of("Observation")) == 20


def test_an_ehr_that_takes_no_new_token_either_is_left_alone(
    recorded: Http, add: Add, trust: Authority, ehr: Small, work: Work, key: Any, clock: Clock, service: Service
) -> None:
    key()
    add(in_flight=1)
    ehr.before = lambda method, path: setattr(ehr, "allows", lambda headers: False) if len(ehr.writes) == 12 else None
    work()
    assert len(trust.given) == 2 and ehr.writes[12:] == []
    refused = len(ehr.asked)
    assert work() == 0 and len(ehr.asked) == refused and len(trust.given) == 2
    said = shown(service)
    assert (said["state"], said["problem"]) == ("snoozed", "It does not accept our token (401)")
    assert states(recorded)["parked"] == 0 and states(recorded)["waiting"] > 0


def test_an_ehr_that_does_not_let_us_in_is_asked_more_and_more_slowly_and_nothing_is_given_up(
    recorded: Http, add: Add, trust: Authority, ehr: Small, work: Work, key: Any, clock: Clock, service: Service
) -> None:
    key()
    add(in_flight=1)
    ehr.allows = lambda headers: False
    asked = []
    for wait in (0, 60, 120, 300, 600, 900, 900, 900):
        clock.forward(seconds=max(0, wait - 1))
        assert work() == 0 or not wait
        clock.forward(seconds=1 if wait else 0)
        before = len(ehr.asked), len(trust.asked)
        work()
        asked.append((len([one for one in ehr.asked[before[0] :] if "metadata" not in one[1] and "well-known" not in one[1]]), len(trust.asked) - before[1]))
    assert all(calls <= 2 and tokens <= 1 for calls, tokens in asked), asked
    assert states(recorded)["parked"] == 0
    ehr.allows = trust.allows
    clock.forward(minutes=20)
    work()
    assert states(recorded)["waiting"] == 0 and kept(service) == access.Access("system/*.cruds")


def test_one_call_that_an_ehr_never_lets_in_keeps_nothing_else_out(
    recorded: Http, add: Add, trust: Authority, ehr: Small, work: Work, key: Any, clock: Clock
) -> None:
    key()
    add(in_flight=1)
    ehr.answers = lambda method, path: (401, {}) if method == "POST" and path == "/Location" else None
    for _ in range(60):
        work()
        clock.forward(minutes=16)
    assert states(recorded, type="Location") == {"parked": 1}
    assert states(recorded)["waiting"] == 0


def test_a_new_token_with_which_others_are_let_in_is_kept_whatever_one_call_is_answered(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    ours = Access(service, add())
    first = ours.headers()
    ours.answered(first, 200)
    second = ours.answered(first, 401)
    assert second is not None and second != first
    ours.answered(second, 200)  # another thread's
    assert ours.answered(second, 401, again=False) is None
    assert ours.headers() == second and shown(service)["state"] == "open" and len(trust.asked) == 2


def test_a_static_token_that_is_refused_leaves_the_ehr_alone_at_once(
    recorded: Http, ehr: Small, work: Work, service: Service, connect: Connect, clock: Clock
) -> None:
    connect("trust", ehr.base, 1, in_flight=1)
    ehr.allows = lambda headers: False
    work()
    assert len([one for one in ehr.asked if one[1] != "/metadata"]) == 1
    assert shown(service)["state"] == "snoozed" and "token" in shown(service)["problem"]


def test_resuming_an_ehr_tries_at_once(recorded: Http, add: Add, trust: Authority, ehr: Small, work: Work, key: Any, service: Service) -> None:
    kid = key()
    add()
    published, trust.keys = trust.keys, lambda: {"keys": []}
    work()
    assert shown(service)["state"] == "snoozed"
    trust.keys = published
    service.database.write(lambda tx: operating.pause(tx, "trust", paused=False))
    work()
    assert states(recorded)["waiting"] == 0 and shown(service)["problem"] is None and decoded(trust.asked[-1])[0]["kid"] == kid


def test_a_token_goes_to_its_ehr_alone_wherever_answers_point(recorded: Http, add: Add, trust: Authority, ehr: Small, work: Work, key: Any) -> None:
    key()
    with scripted(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")) as elsewhere:
        add()
        moved = {"Location": f"{elsewhere.base}/Observation/o1", "Content-Location": elsewhere.base, "Link": f'<{elsewhere.base}>; rel="next"'}
        ehr.answers = lambda method, path: ({"POST": 201, "PUT": 307}[method], moved) if method in ("POST", "PUT") else None
        work()
        put(recorded, "patients", patient(gender="other"))
        work()
        assert not elsewhere.asked
    assert any(one.get("remoteId") == "o1" for one in deliveries(recorded))


# --- E5, R5: slowly, and as asked


def test_a_new_client_that_is_not_known_yet_is_let_in_later_without_anybodys_help(
    recorded: Http, add: Add, trust: Authority, work: Work, key: Any, clock: Clock, service: Service
) -> None:
    key()
    add()
    published, trust.keys = trust.keys, lambda: {"keys": []}
    work()
    assert trust.refused == ["a key that is not published"] and kept(service).failures == 1
    assert "does not know us by this client id and key, or not yet" in shown(service)["problem"]
    trust.keys = published
    clock.forward(seconds=59)
    work()
    assert len(trust.asked) == 1
    clock.forward(seconds=2)
    work()
    assert states(recorded)["waiting"] == 0 and shown(service)["problem"] is None
    assert {one["attempts"] for one in deliveries(recorded, state="delivered")} == {1}


def test_an_ehr_that_keeps_refusing_us_is_told_to_whoever_reads_the_log(
    recorded: Http, add: Add, trust: Authority, key: Any, clock: Clock, service: Service, ehr: Small
) -> None:
    from dataclasses import replace

    from service.sync.worker import Worker

    key()
    add()
    trust.keys = lambda: {"keys": []}
    heard = CapturingLogger()
    for _ in range(4):
        Worker(replace(service, log=heard)).run(until_idle=True)
        clock.forward(minutes=16)
    found = [(call.method_name, call.kwargs["failures"]) for call in heard.calls if call.args == ("not_let_in",)]
    assert found == [("warning", 1), ("warning", 2), ("error", 3), ("error", 4)]
    with service.database.glance() as connection:
        assert alarms.Condition("trust", "keeps out", 4) in alarms.conditions(connection, micros(clock()), 86_400_000_000)
    assert not any("Bearer" in str(call) or "eyJ" in str(call) for call in heard.calls)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("said", "seconds"), [("30", 30), ("99999", 300), ("a date", 40), (None, 10)])
def test_a_token_endpoint_that_asks_us_to_wait_is_left_alone_as_it_asks(
    recorded: Http, add: Add, trust: Authority, work: Work, key: Any, clock: Clock, status: int, said: str | None, seconds: int
) -> None:
    from datetime import timedelta

    key()
    add()
    asks = format_datetime(clock() + timedelta(seconds=40), usegmt=True) if said == "a date" else said
    trust.instead = lambda: (status, {"Retry-After": asks} if asks else {}, b"")
    work()
    assert len(trust.asked) == 1 and {one["attempts"] for one in deliveries(recorded, state="waiting")} == {0}
    trust.instead = lambda: None
    clock.forward(seconds=seconds - 0.01)
    work()
    assert len(trust.asked) == 1
    clock.forward(seconds=0.02)
    work()
    assert states(recorded)["waiting"] == 0


def test_a_token_endpoint_that_fails_is_tried_again_soon(recorded: Http, add: Add, trust: Authority, work: Work, key: Any, clock: Clock) -> None:
    key()
    add()
    trust.instead = lambda: (500, {}, b"")
    work()
    trust.instead = lambda: None
    clock.forward(seconds=11)
    work()
    assert len(trust.asked) == 2 and states(recorded)["waiting"] == 0


def test_one_ehr_that_keeps_us_out_keeps_no_other_waiting(recorded: Http, add: Add, trust: Authority, work: Work, key: Any, connect: Connect) -> None:
    from tests.sync.small import small

    key()
    add()
    trust.instead = lambda: (401, {}, b'{"error": "invalid_client"}')
    with small() as other:
        connect("other", other.base, 1)
        put(recorded, "practitioners", practitioner(active=False))
        work()
        assert states(recorded, ehr="other")["waiting"] == 0 and states(recorded, ehr="trust")["waiting"] > 0


def test_workers_that_are_kept_out_at_once_say_so_together(service: Service, add: Add, trust: Authority, key: Any) -> None:
    key()
    found = add()
    trust.keys = lambda: {"keys": []}
    several = [Access(service, found) for _ in range(3)]

    def tried(ours: Access) -> bool:
        with pytest.raises(NotLetIn):
            ours.headers()
        return True

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(tried, several))
    assert 1 <= kept(service).failures <= 3 and shown(service)["state"] == "snoozed"
