"""Questionnaires and rating scales: their items, their scores, and how a screening records that one was answered.

A total is never computed here: where an item is missing there is none, and one that comes without items is taken as stated.
An instrument of the sensitive list (AUDIT-C, DES-II) is C2 as a whole.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from mappings import codes
from mappings.code_table import LOINC, OURS, Codes, coding, own, own_system
from mappings.disclosure import C0, C1, C2
from mappings.model import SCORE, Between, Key, record

ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
FREQUENCY = {0: ("LA6568-5", "Not at all"), 1: ("LA6569-3", "Several days"), 2: ("LA6570-1", "More than half the days"), 3: ("LA6571-9", "Nearly every day")}
VERSION = "1.0.0"


@dataclass(frozen=True)
class Instrument:
    """`links` are the linkIds of the items in order; `score` of the complete answers is the total, None where there is none."""

    name: str
    title: str
    panel: codes.Coding
    links: tuple[str, ...]
    least: int
    most: int
    total: codes.Coding | None
    score: Callable[[list[int]], Decimal] | None
    answers: str = "integer"  # integer, boolean, or coding (LOINC answers with their ordinal)
    risk: codes.Coding | None = None

    @property
    def canonical(self) -> str:
        return f"{OURS}/Questionnaire/{self.name.lower()}|{VERSION}"


def _sum(answers: list[int]) -> Decimal:
    return Decimal(sum(answers))


def _mean(answers: list[int]) -> Decimal:
    return Decimal(sum(answers)) / len(answers)


def _loinc(code: str) -> codes.Coding:
    return coding(LOINC, code)


def _ours(code: str) -> codes.Coding:
    return coding(own_system("instrument"), code)


own("instrument", "Instruments and their totals that have no public code that we could verify", {
    "madrs": "Montgomery-Asberg Depression Rating Scale", "madrs-total": "MADRS total",
    "des-ii": "Dissociative Experiences Scale II", "des-ii-mean": "DES-II mean score",
})

INSTRUMENTS = {
    i.name: i
    for i in (
        Instrument("PHQ-9", "Patient Health Questionnaire 9", _loinc("44249-1"),
                   ("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"),
                   0, 3, _loinc("44261-6"), _sum, "coding"),
        Instrument("GAD-7", "Generalised Anxiety Disorder 7", _loinc("69737-5"),
                   ("69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"),  # sic: LOINC calls the sixth "last 4W"
                   0, 3, _loinc("70274-6"), _sum, "coding"),
        Instrument("PCL-5", "PTSD Checklist for DSM-5", _loinc("101697-1"), tuple(f"pcl-5-{n}" for n in range(1, 21)), 0, 4, _loinc("101698-9"), _sum),
        Instrument("C-SSRS", "Columbia Suicide Severity Rating Scale, screener", _loinc("93373-9"),
                   ("93246-7", "93247-5", "93248-3", "93249-1", "93250-9", "93267-3", "93269-9"), 0, 1, None, None, "boolean", _loinc("93374-7")),
        Instrument("MADRS", "Montgomery-Asberg Depression Rating Scale", _ours("madrs"), tuple(f"madrs-{n}" for n in range(1, 11)),
                   0, 6, _ours("madrs-total"), _sum),
        Instrument("AUDIT-C", "Alcohol Use Disorders Identification Test, consumption", _loinc("72109-2"), ("68518-0", "68519-8", "68520-6"),
                   0, 4, _loinc("75626-2"), _sum),
        Instrument("DES-II", "Dissociative Experiences Scale II", _ours("des-ii"), tuple(f"des-ii-{n}" for n in range(1, 29)),
                   0, 100, _ours("des-ii-mean"), _mean),
    )
}


def _named(*names: str) -> Codes:
    return Codes("instruments", {name: coding(f"{OURS}/Questionnaire", INSTRUMENTS[name].canonical, INSTRUMENTS[name].title) for name in names})


OPEN = _named("PHQ-9", "GAD-7", "PCL-5", "C-SSRS", "MADRS")
SENSITIVE = _named("AUDIT-C", "DES-II")
RISK_LEVEL = own("suicide-risk-level", "Suicide risk level by C-SSRS", {"none": "No risk found", "low": "Low", "moderate": "Moderate", "high": "High"})
SOURCE = codes.table(f"{OURS}/CodeSystem/answered-by", {"patient": "Patient", "clinician": "Clinician"}, name="answered by")


@record
class Answer:
    """`item` counts from 1 in the instrument's own order; C-SSRS answers are 1 for yes and 0 for no."""

    item: C2[Annotated[int, Between(1, 28)]]
    answer: C2[Annotated[int, Between(0, 100)]]


@record
class Administered:
    id: C0[Key]
    instrument: C1[Annotated[str, OPEN]]
    authored_at: C1[datetime]
    source: C1[Annotated[str, SOURCE] | None] = None
    total: C1[Annotated[Decimal, SCORE, Between(0, 1000)] | None] = None
    risk_level: C1[Annotated[str, RISK_LEVEL] | None] = None
    items: C2[tuple[Answer, ...]] = ()


@record
class SensitivelyAdministered:
    """Neither of these instruments gives a risk level."""

    id: C0[Key]
    instrument: C2[Annotated[str, SENSITIVE]]
    authored_at: C2[datetime]
    source: C2[Annotated[str, SOURCE] | None] = None
    total: C2[Annotated[Decimal, SCORE, Between(0, 1000)] | None] = None
    items: C2[tuple[Answer, ...]] = ()


def check(it: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Refuses answers that the instrument cannot give, and a total that is not its score of the complete answers (R01 to R07)."""
    if it.instrument not in INSTRUMENTS:
        return
    instrument = INSTRUMENTS[it.instrument]
    yield from check_answers(instrument, it.items, f"{pointer}/items")
    if getattr(it, "risk_level", None) is not None and instrument.risk is None:
        yield f"{pointer}/riskLevel", f"{instrument.name} gives no risk level"
    if it.total is not None:
        yield from _check_total(it, instrument, f"{pointer}/total")


def check_answers(instrument: Instrument, answers: tuple[Answer, ...], pointer: str) -> Iterator[tuple[str, str]]:
    """Refuses items that the instrument does not have or not in this order, as R4 does, and answers that it does not know."""
    last = 0
    for n, answer in enumerate(answers):
        if answer.item is not None:
            if not 1 <= answer.item <= len(instrument.links):
                yield f"{pointer}/{n}/item", f"{instrument.name} has {len(instrument.links)} items"
            elif answer.item == last:
                yield f"{pointer}/{n}/item", "is answered twice"
            elif answer.item < last:
                yield f"{pointer}/{n}/item", f"comes after item {last}: the items should be in their order"
            last = max(last, answer.item)
        if answer.answer is not None and not instrument.least <= answer.answer <= instrument.most:
            yield f"{pointer}/{n}/answer", f"{instrument.name} is answered from {instrument.least} to {instrument.most}"


def _check_total(it: Any, instrument: Instrument, pointer: str) -> Iterator[tuple[str, str]]:
    seen = {answer.item for answer in it.items}
    if instrument.score is None:
        yield pointer, f"{instrument.name} has no total"
        return
    highest = instrument.most * (1 if instrument.score is _mean else len(instrument.links))
    if not instrument.least <= it.total <= highest:
        yield pointer, f"{instrument.name} scores from {instrument.least} to {highest}"
    elif it.items and len(seen) < len(instrument.links):
        missing = [n for n in range(1, len(instrument.links) + 1) if n not in seen]
        yield pointer, f"has no total while an item is missing: {', '.join(map(str, missing))}"
    elif it.items and None not in (answers := [a.answer for a in it.items]):
        score = instrument.score(answers)
        if abs(score - it.total) > (Decimal("0.05") if instrument.score is _mean else 0):
            yield pointer, f"is not the {instrument.name} score of its items, {score.normalize():f}"
