"""The WSGI application: personas side by side, each below its own path, and below `/_sandbox` what no EHR has."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sandbox import fhir_json
from sandbox.access import admit
from sandbox.control import Control
from sandbox.ehr import Ehr
from sandbox.faults.board import Faults
from sandbox.faults.fault import Asked
from sandbox.journal import Journal
from sandbox.line import head_of, speak
from sandbox.options import Malformed
from sandbox.outcome import Issue, Refused
from sandbox.personas import PERSONAS
from sandbox.records import Records, Version
from sandbox.rest import respond
from sandbox.smart import Smart
from sandbox.wire import FHIR_JSON, Answer, Request, problem, refusal

log = logging.getLogger(__name__)


def create_app(
    personas: Sequence[str] = tuple(PERSONAS),
    directory: Path | str | None = None,
    tokens: Mapping[str, str] | None = None,
    smart: Mapping[str, Mapping[str, Any]] | None = None,
) -> "Sandbox":
    """A sandbox of the named personas; what it holds is kept in the directory, or is gone when it stops.

    By persona, `tokens` are static bearer tokens, and `smart` what `PUT /_sandbox/PERSONA/smart` takes. Raises ValueError for a name that is
    no persona, Malformed for what is no SMART, and InUse for a directory that another sandbox has.
    """
    if unknown := {*personas, *(tokens or {}), *(smart or {})} - PERSONAS.keys():
        raise ValueError(f"no such persona: {', '.join(sorted(unknown))}; there are {', '.join(PERSONAS)}")
    journal = Journal(Path(directory)) if directory is not None else None
    ehrs = {name: Ehr(PERSONAS[name], Records(_keeper(journal, name)), (tokens or {}).get(name), Smart((smart or {}).get(name))) for name in personas}
    for name, version in journal.load() if journal else ():
        if name in ehrs:
            ehrs[name].records.restore(version)
    return Sandbox(ehrs, journal)


def _keeper(journal: Journal | None, persona: str) -> Callable[[Version], None]:
    return partial(journal.append, persona) if journal else lambda _version: None


class Sandbox:
    def __init__(self, ehrs: Mapping[str, Ehr], journal: Journal | None) -> None:
        self._ehrs, self._journal = ehrs, journal
        self._faults = Faults(ehrs)
        self._control = Control(ehrs, journal, self._faults)
        # The longest path first: every path would otherwise be below that of a persona at `/`.
        self._by_path = sorted(ehrs.values(), key=lambda ehr: -len(ehr.persona.path))

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        started = time.perf_counter()
        request = Request(environ)
        ehr, parts = self._meant(request)
        if ehr is None:
            said = _safely(partial(self._control.respond, request))
        else:
            asked = Asked(ehr, request, parts)
            said = _safely(partial(self._faults.disturbed, asked, partial(_safely, partial(_fhir, ehr, request, parts))))
            self._control.saw(asked, said.status, time.perf_counter() - started)
        body = b"" if request.head else said.body
        if said.speech:
            speak(request.line, said.speech, head_of(said.status_line, said.headers, len(said.body)), body)
        start_response(said.status_line, [*said.headers.items(), *_length(said)])
        return [body]

    def _meant(self, request: Request) -> tuple[Ehr | None, list[str]]:
        """The EHR that a request is for, and what it names below the base; nothing where it is for one that is not there."""
        for ehr in self._by_path:
            if (below := _below(request.path, ehr.persona.path)) is not None:
                return ehr, below
            if ehr.persona.realm and _below(request.path, ehr.persona.realm) is not None:
                return ehr, []
        return None, []

    def close(self) -> None:
        """Keep what is not kept yet, and let go of whoever waits for a fault. What is written after this is refused, not lost."""
        self._faults.take_away()
        if self._journal:
            self._journal.close()


def _below(path: str, base: str) -> list[str] | None:
    """The parts of a path below another; None where it is not below it."""
    if path != base and not path.startswith(base + "/"):
        return None
    below = path[len(base) :].strip("/")
    return below.split("/") if below else []


def _fhir(ehr: Ehr, request: Request, parts: list[str]) -> Answer:
    """What an EHR answers, in the manner of its persona."""
    persona = ehr.persona
    try:
        said = _admitted(ehr, request, parts)
    except Refused as reason:
        said = persona.tell(reason)
    if request.pretty and said.headers.get("Content-Type") == FHIR_JSON:
        said.body = fhir_json.write(fhir_json.read(said.body), pretty=True)
    if said.headers.get("Content-Type") == FHIR_JSON:
        said.headers["Content-Type"] = persona.media
    said.headers |= {name: text for name in persona.echoed if (text := request.header(name))}
    return said


def _admitted(ehr: Ehr, request: Request, parts: list[str]) -> Answer:
    request.body  # noqa: B018 - read whatever is answered, so that the connection can be used again
    if _below(request.path, ehr.persona.path) is None:
        raise Refused(403, Issue("forbidden", "Tenant not valid or accessible"))
    if (said := ehr.smart.answer(request, parts, ehr.base(request))) is not None:
        return said
    if parts != ["metadata"]:  # it is for everyone: without it nobody could find out how to be let in
        admit(ehr, request)
    if ehr.persona.method_override and request.method == "POST":
        request.method = (request.header("X-HTTP-Method-Override") or request.method).upper()
    request.must_read_json()
    if parts == ["metadata"]:
        return respond(ehr, request, parts)
    ehr.settings.check(request)
    if ehr.persona.request_id is None:
        return respond(ehr, request, parts)
    key = _request_id(request, ehr.persona.request_id)
    return ehr.once.answer(key, partial(respond, ehr, request, parts)) if request.writes else respond(ehr, request, parts)


def _request_id(request: Request, header: str) -> str:
    """Raises Refused: 412 where there is none, 400 for what is no UUID (so the Personal Demographics Service)."""
    given = request.header(header)
    if given is None:
        raise Refused(412, Issue("required", f"{header} must be supplied to access this resource"))
    try:
        return str(UUID(given))
    except ValueError:
        raise Refused(400, Issue("value", f"{header} {given} is not a UUID")) from None


def _safely(respond_to: Callable[[], Answer]) -> Answer:
    try:
        return respond_to()
    except Refused as reason:
        return refusal(reason)
    except Malformed as reason:
        return problem(reason)
    except Exception:  # the last handler: a fault of the sandbox is said as such, and the next request is answered
        log.exception("the sandbox failed")
        return refusal(Refused(500, Issue("exception", "the sandbox failed; its log says how")))


def _length(said: Answer) -> list[tuple[str, str]]:
    return [] if said.status == 204 else [("Content-Length", str(len(said.body)))]
