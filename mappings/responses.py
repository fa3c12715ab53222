"""Answers to an instrument as FHIR: the QuestionnaireResponse is the record, the Observations follow from it.

| our field  | R4 QuestionnaireResponse               | class |
| ---------- | -------------------------------------- | ----- |
| instrument | questionnaire                          | C1    |
| authoredAt | authored                               | C1    |
| source     | source                                 | C1    |
| total      | item with the linkId of the total      | C1    |
| riskLevel  | item with the linkId of the risk level | C1    |
| items      | one item each, with its answer         | C2    |

An instrument of the sensitive list (AUDIT-C, DES-II) is C2 as a whole. A total is never computed here: where an item is
missing there is none, and a total that comes without items is taken as stated.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from mappings import codes, model
from mappings.code_table import LOINC, Codes, coding, concept
from mappings.datatypes import moment
from mappings.disclosure import Level
from mappings.element import reference_of
from mappings.instruments import FREQUENCY, INSTRUMENTS, RISK_LEVEL, Instrument
from mappings.kind import Resource
from mappings.model import SCORE
from mappings.parts import follows_item, follows_table, subject
from mappings.parts import own as own_resource
from mappings.readings import observation
from mappings.shape import Bound, Codec, Element, Fhir, Line, Reading, Said, Writing, derived, getter, putter

ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
RESPONSE_STATUS = {"in-progress": "in-progress", "completed": "completed", "amended": "amended", "cancelled": "stopped"}
SCORE_STATUS = {"in-progress": "preliminary", "completed": "final", "amended": "amended", "cancelled": "cancelled"}


def administered(over: str, role: str) -> list[Resource]:
    """The response of each item of a list, and what is derived from it: score, risk level, and PHQ-9's item 9."""
    def score(it: Any, _of: Writing) -> Any:
        return {"value": it.total, "unit": SCORE.word, "system": codes.UCUM, "code": SCORE.code}

    def item_9(it: Any, _of: Writing) -> Any:
        return concept(_frequency(_item_9(it)))

    since = Level.C1 if over == "instruments" else Level.C2
    scores: dict[str, Any] = {"over": over, "category": "survey", "at": "authored_at", "status": follows_table("status", SCORE_STATUS)}
    response = derived("the response", lambda _it, of: [of.own(role)])
    made = [
        Resource("QuestionnaireResponse", role, "Answers to an instrument", over=over, since=since, shape={
            "questionnaire": Said("instrument", lambda f: _canonical(f.note(Codes))),
            "status": follows_table("status", RESPONSE_STATUS),
            "subject": subject(),
            "encounter": own_resource("visit"),
            "authored": moment("authored_at"),
            "source": AnsweredBy("source"),
            "item": Items("instrument", "items", total="total", risk="risk_level" if over == "instruments" else None),
        }),
        observation(f"{role}-score", "Score of an instrument", derived("the item's `instrument`", _total_code), **scores,
                    since=since, when=lambda it, _of: it.total is not None,
                    more={"valueQuantity": derived("the item's `total`", score), "derivedFrom": response}),
    ]
    if over == "instruments":
        made += [
            observation(f"{role}-risk", "Suicide risk level", codes.loinc("93374-7", "Suicide risk level"), **scores,
                        since=since, when=lambda it, _of: it.risk_level is not None,
                        more={"valueCodeableConcept": follows_item("risk_level", RISK_LEVEL.concept), "derivedFrom": response}),
            observation(f"{role}-item-9", "Answer to one item", codes.loinc("44260-8", "PHQ-9 item 9"), **scores,
                        since=Level.C2, when=lambda it, _of: _item_9(it) is not None,
                        more={"valueCodeableConcept": derived("item 9 of the item's `items`", item_9), "derivedFrom": response}),
        ]
    return made


def _total_code(it: Any, _of: Writing) -> Fhir:
    instrument = INSTRUMENTS[it.instrument]
    assert instrument.total is not None
    return concept(instrument.total, text=f"{instrument.name} total")


def _item_9(it: Any) -> int | None:
    return next((a.answer for a in it.items if a.item == 9), None) if it.instrument == "PHQ-9" else None


def _frequency(answer: int | None) -> codes.Coding:
    assert answer is not None
    return coding(LOINC, *FREQUENCY[answer])


def _canonical(table: Codes | None) -> Any:
    assert table is not None
    return Codec("canonical", table.code, table.term_of_code)


def _source(value: Any) -> str:
    if reference_of(value).startswith("Patient/"):
        return "patient"
    if value.get("type") == "Practitioner" or reference_of(value).startswith("Practitioner/"):
        return "clinician"
    raise ValueError("should be the patient or a clinician")


class AnsweredBy(Element):
    """Who answered: the patient, or a clinician (of whom the role is known, and not always the name)."""

    says = True
    CLINICIAN: Fhir = {"type": "Practitioner", "display": "Clinician"}

    def __init__(self, name: str):
        self.said = Said(name, lambda _f: Codec("Reference(Patient | Practitioner)", str, _source))

    def inside(self) -> Iterator[tuple[str, Element]]:
        yield "", self.said

    def bind(self, to: Bound) -> None:
        super().bind(to)
        self._get = getter(self.said.name)

    def write(self, it: Any, of: Writing) -> Any:
        source = self._get(it)
        if source == "patient":
            return of.ids.reference("Patient", "patient", of.entity.patient_id, "patient")
        return self.CLINICIAN if source == "clinician" else None

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        self.said.read(value, at, into, of)


class Items(Element):
    """QuestionnaireResponse.item: an item for each answer, for the total and for the risk level.

    `instrument` names the field that says which instrument it is, or is one itself.
    """

    wants = list
    says = True

    def __init__(self, instrument: str | Instrument, items: str, *, total: str | None, risk: str | None):
        self.instrument, self.items, self.total, self.risk = instrument, items, total, risk

    def bind(self, to: Bound) -> None:
        self._items, self._put_items = getter(self.items), putter(self.items)
        self._total = getter(self.total) if self.total else _nothing
        self._risk = getter(self.risk) if self.risk else _nothing
        self._lines = list(self._described(to))

    def write(self, it: Any, of: Writing) -> Any:
        instrument = self.instrument if isinstance(self.instrument, Instrument) else INSTRUMENTS[getattr(it, self.instrument)]
        made = [{"linkId": instrument.links[a.item - 1], "answer": [_answer(instrument, a.answer)]} for a in self._items(it) or ()]
        if instrument.total is not None and (total := self._total(it)) is not None:
            made.append({"linkId": instrument.total["code"], "answer": [{"valueDecimal": total}]})
        if instrument.risk is not None and (risk := self._risk(it)) is not None:
            made.append({"linkId": instrument.risk["code"], "answer": [{"valueCoding": RISK_LEVEL.coding(risk)}]})
        return made or None

    def read(self, value: Any, at: str, into: dict[str, Any], of: Reading) -> None:
        found = self.instrument if isinstance(self.instrument, Instrument) else INSTRUMENTS.get(into.get(self.instrument, ""))
        if found is None:
            return  # the questionnaire was refused already
        answers: list[dict[str, int]] = []
        for n, item in enumerate(value):
            try:
                self._read_item(found, item, into, answers)
            except ValueError as problem:
                of.refuse(f"{at}[{n}]", str(problem))
        if answers:
            self._put_items(into, answers)

    def _read_item(self, instrument: Instrument, item: Fhir, into: dict[str, Any], answers: list[dict[str, int]]) -> None:
        given = item.get("answer") if isinstance(item, dict) else None
        if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
            raise ValueError("should have one answer")
        link, answer = item.get("linkId"), given[0]
        if link in instrument.links:
            answers.append({"item": instrument.links.index(link) + 1, "answer": _value(instrument, answer)})
        elif self.total and instrument.total is not None and link == instrument.total["code"]:
            putter(self.total)(into, _decimal(answer.get("valueDecimal")))
        elif self.risk and instrument.risk is not None and link == instrument.risk["code"]:
            putter(self.risk)(into, RISK_LEVEL.term_of_coding(answer.get("valueCoding")))
        else:
            raise ValueError(f"no item of {instrument.name}: {link!r}")

    def lines(self) -> Iterator[Line]:
        yield from self._lines

    def _described(self, to: Bound) -> Iterator[Line]:
        prefix = f"{to.prefix}." if to.prefix else ""
        answers = to.field(self.items)
        assert answers.group is not None
        for part in model.fields_of(answers.group):
            yield Line(f"{prefix}{self.items}.{part.name}", f"{to.path}.{'linkId' if part.name == 'item' else 'answer.value[x]'}", part, "item")
        if self.total:
            yield Line(f"{prefix}{self.total}", f"{to.path}.where(linkId=total).answer.valueDecimal", to.field(self.total), "decimal")
        if self.risk:
            yield Line(f"{prefix}{self.risk}", f"{to.path}.where(linkId='93374-7').answer.valueCoding", to.field(self.risk), "Coding", RISK_LEVEL.systems)


def _answer(instrument: Instrument, answer: int) -> Fhir:
    if instrument.answers == "boolean":
        return {"valueBoolean": answer == 1}
    if instrument.answers == "coding":
        return {"valueCoding": {"extension": [{"url": ORDINAL, "valueDecimal": answer}], **_frequency(answer)}}
    return {"valueInteger": answer}


def _value(instrument: Instrument, answer: Fhir) -> int:
    if instrument.answers == "boolean" and isinstance(answer.get("valueBoolean"), bool):
        return int(answer["valueBoolean"])
    if instrument.answers == "coding" and isinstance(answer.get("valueCoding"), dict):
        given = (answer["valueCoding"].get("system"), answer["valueCoding"].get("code"))
        found = next((n for n, (code, _) in FREQUENCY.items() if given == (LOINC, code)), None)
        if found is not None:
            return found
    if instrument.answers == "integer" and isinstance(answer.get("valueInteger"), int) and not isinstance(answer["valueInteger"], bool):
        return int(answer["valueInteger"])
    raise ValueError(f"no answer that {instrument.name} can give")


def _decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("should be a number")
    return Decimal(value)


def _nothing(_it: Any) -> None:
    return None
