"""What every visit has in common, as an Encounter: status, class, period and provider at C0; all else from C1.

At C0 all Encounters look alike, whatever the visit was for. From C1 the status says more than R4's Encounter.status can:

| ours              | Encounter.status | and                                                              |
| ----------------- | ---------------- | ---------------------------------------------------------------- |
| no-show, missed   | cancelled        | `encounter-reasonCancelled` with our code `not-attended`         |
| aborted           | finished         | our extension `ended-early` with the coded reason                |
| amended           | finished         | our extension `amended`                                          |
"""

from collections.abc import Iterator, Mapping
from typing import Any

from mappings import codes
from mappings.code_table import codings_of
from mappings.datatypes import coding, concept, extension, logical, moment, url
from mappings.disclosure import Coarse, Level
from mappings.parts import own, practitioner, subject
from mappings.shape import Bound, Element, Fhir, Line, Reading, Refers, Writing, each, getter, key, putter, since

REASON_CANCELLED = "http://hl7.org/fhir/StructureDefinition/encounter-reasonCancelled"
ENDED_EARLY = url("ended-early")
AMENDED = url("amended")
MARKS = {"ended-early": "CodeableConcept", "amended": "boolean"}  # our extensions that a status writes, and the type of each
EARLY = "Ended early"


class VisitStatus:
    """A two-way table of our status and what R4's Encounter makes of it: a code and, from C1 on, a mark that tells two apart."""

    def __init__(self, rows: Mapping[str, str | tuple[str, str]]):
        self.rows = {term: row if isinstance(row, tuple) else (row, "") for term, row in rows.items()}
        self.terms = {row: term for term, row in self.rows.items()}
        if len(self.terms) != len(self.rows):
            raise ValueError(f"two statuses are the same to R4: {rows}")

    def coarse(self) -> Coarse:
        """The status below C1, where the mark is not seen: the unmarked one with the same code."""
        return Coarse(Level.C1, {term: self.terms[code, ""] for term, (code, mark) in self.rows.items() if mark})

    def code(self, term: str) -> str:
        return self.rows[term][0]

    def mark(self, term: str) -> str:
        return self.rows[term][1]


class Status(Element):
    """Encounter.status: our status without its mark."""

    wants = str
    says = True

    def __init__(self, table: VisitStatus, name: str):
        self.table, self.name, self._get, self._put = table, name, getter(name), putter(name)

    def bind(self, to: Bound) -> None:
        self.holds = to.field(self.name)
        self._line = Line(".".join(filter(None, (to.prefix, self.name))), to.path, self.holds, "code", (codes.ENCOUNTER_STATUS,))

    def write(self, it: Any, of: Writing) -> Any:
        status = self._get(it)
        return None if status is None else self.table.code(status)

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if (value, "") in self.table.terms:
            self._put(into, self.table.terms[value, ""])
        else:
            of.refuse(at, f"no status that this visit can have: {value!r}")

    def lost(self, given: Any, at: str, of: Reading) -> Iterator[tuple[str, str]]:
        yield at, "is what every visit has"

    def lines(self) -> Iterator[Line]:
        yield self._line


class StatusMark(Element):
    """The extension that tells a no-show from a cancelled visit or an aborted one from a finished one, with the coded reason."""

    wants = dict
    says = True
    keyed = True

    def __init__(self, table: VisitStatus, status: str, reason: str | None):
        self.table, self._status, self._put = table, getter(status), putter(status)
        self.reason = concept(reason, codes.VISIT_REASON) if reason else None

    def inside(self) -> Iterator[tuple[str, Element]]:
        if self.reason:
            yield "('encounter-reasonCancelled' or 'ended-early').valueCodeableConcept", self.reason

    def write(self, it: Any, of: Writing) -> Any:
        status = self._status(it)
        if status is None or of.view < Level.C1:
            return None
        mark = self.table.mark(status)
        if mark == "amended":
            return {"url": AMENDED, "valueBoolean": True}
        why = self.reason.write(it, of) if self.reason else None
        if mark == "not-attended":
            return {"url": REASON_CANCELLED, "valueCodeableConcept": codes.concept(codes.NOT_ATTENDED, *(why or {}).get("coding", ()))}
        if mark == "ended-early":
            return {"url": ENDED_EARLY, "valueCodeableConcept": {**(why or {}), "text": EARLY}}
        return {"url": REASON_CANCELLED, "valueCodeableConcept": why} if why else None

    def takes(self, value: Any) -> bool:
        return isinstance(value, dict) and value.get("url") in (REASON_CANCELLED, ENDED_EARLY, AMENDED)

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        if value["url"] == AMENDED and value.get("valueBoolean") is not True:
            of.refuse(f"{at}.valueBoolean", "should be true: what was not amended does not say so")
            return
        said, here = value.get("valueCodeableConcept"), f"{at}.valueCodeableConcept"
        codings = codings_of(said)
        reasonless = value["url"] == AMENDED or (value["url"] == ENDED_EARLY and isinstance(said, dict) and said.get("text") == EARLY)
        if not codings and not reasonless:
            of.refuse(here, "has no code that we know")
            return
        attended = [c for c in codings if (c.get("system"), c.get("code")) != (codes.NOT_ATTENDED["system"], codes.NOT_ATTENDED["code"])]
        mark = {AMENDED: "amended", ENDED_EARLY: "ended-early"}.get(value["url"], "not-attended" if len(attended) < len(codings) else "")
        self._mark(mark, at, into, of)
        if attended and self.reason:
            self.reason.hear({"coding": attended}, here, into, of)

    def _mark(self, mark: str, at: str, into: dict[str, Any], of: Reading) -> None:
        if not mark:
            return
        term = next((t for t, (_, m) in self.table.rows.items() if m == mark), None)
        if term is None:
            of.refuse(at, "says what this visit cannot be")
        else:
            self._put(into, term)


def visit_shape(
    visit_type: str,
    status: Element,
    *,
    end: str = "end",
    mode: Any = None,
    mark: Element | None = None,
    episode: Any = None,
    participants: list[Any] | None = None,
    extensions: list[Any] | None = None,
    clinic: Any = None,
    room: str | None = None,
    part_of: Any = None,
) -> Fhir:
    """The Encounter of a visit. `status` comes before the extensions, so that a mark is read after it."""
    return {
        "status": status,
        "class": mode or coding("mode"),
        "type": since(Level.C1, [codes.concept(codes.VISIT_TYPE.coding(visit_type), text=codes.VISIT_TYPE.coding(visit_type)["display"])]),
        "subject": subject(),
        "episodeOfCare": [episode] if episode else None,
        "participant": participants or None,
        "period": {"start": moment("start"), "end": moment(end)},
        "location": [
            {"location": logical("Location", codes.ODS_SITE, "site"), "physicalType": key(codes.concept(codes.PHYSICAL_TYPE.coding("si")))},
            {"location": Refers("Location", room, role="room"), "physicalType": key(codes.concept(codes.PHYSICAL_TYPE.coding("ro")))} if room else None,
        ],
        "serviceProvider": clinic or Refers("Organization", "clinic_id", role="clinic"),
        "partOf": part_of,
        "extension": [mark, *(extensions or [])] if mark or extensions else None,
    }


def attended_by(name: str) -> Fhir:
    """One clinician of the visit."""
    return {"type": [key(codes.concept(codes.ATTENDER))], "individual": practitioner(name)}


def attended_by_each(name: str, function: str, who: str) -> Element:
    """The clinicians of a visit, each with the function that it had there."""
    return each(name, {
        "extension": [extension("participant-function", valueCodeableConcept=concept(function))],
        "type": [codes.concept(codes.ATTENDER)],
        "individual": practitioner(who),
    })


def escorted() -> Fhir:
    return {"type": [key(codes.concept(codes.ESCORT))], "individual": own("escort")}


def episode() -> Refers:
    return Refers("EpisodeOfCare", "pathway_id", role="episode")
