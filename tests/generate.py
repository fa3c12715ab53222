"""Entities of every kind, made from a seed: anything that our JSON could hold, zeros and odd characters included."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from mappings import KINDS, model
from mappings.code_table import Codes
from mappings.instruments import INSTRUMENTS, Answer
from mappings.kind import Kind

TENANT = UUID("6f1c7a0e-5b7e-4f0e-9c4b-0d1f6a2b3c4d")  # of whatever is made here
WORDS = ["0", "a", "Zoë", "it's", "<b>&amp;", '"quoted"', "línea\nnueva", "日本", "-", "x" * 40, "x y", "null", "😀 emoji", "a/b|c$d,e\\f"]
OFFSETS = [UTC, timezone(timedelta(hours=1)), timezone(timedelta(hours=-5)), timezone(timedelta(hours=5, minutes=45))]
PATTERNS = {
    "1 to 64 letters, digits and . _ : ~ -, beginning with a letter or digit": ["a", "A-1", "x.y_z~1:2", "0", "Z" * 64],
    "a date, or its year, or its year and month": ["1999", "2020-02", "2024-02-29"],
    "a postal code": ["OX1 2JD", "90210"],
    "ten digits": ["9000000009", "9434765919", "9912003888"],
    "a language tag of BCP 47, such as en-GB": ["en", "en-GB", "zh-Hans-CN"],
    "an ODS code": ["RNU", "A83001"],
    "kind/id or kind/id/list/item id": ["emdr-procedures/e1", "dosing-encounters/d1/observations/o2"],
    "a SHA-256 in 64 hexadecimal digits": ["0" * 64, "f" * 64],
    "a dm+d code of 6 to 18 digits": ["36036811000001102", "322236009"],
}


class Maker:
    """Makes entities with as much in them as `density` says (0 to 1), and remembers which fields and terms it reached."""

    def __init__(self, seed: int, density: float = 0.6):
        self.rng, self.density = random.Random(seed), density
        self.reached: set[tuple[str, str, Any]] = set()

    def entity(self, kind: Kind, **given: Any) -> Any:
        made = self.group(kind.entity, kind.entity.__name__)
        return replace(repaired(kind, made, self.rng), **given)

    def group(self, cls: type, path: str) -> Any:
        return model.construct(cls, {f.name: self.field(f, f"{path}.{f.name}") for f in model.fields_of(cls)})

    def field(self, field: model.Field, path: str) -> Any:
        if field.many:
            count = self.rng.choice([0, 1, 2, 3]) if self.rng.random() < self.density else 0
            return [self.one(field, path) for _ in range(count)]
        if not field.required and self.rng.random() > self.density:
            return None
        return self.one(field, path)

    def one(self, field: model.Field, path: str) -> Any:
        if field.group is not None:
            self.reached.add(("field", path, None))
            return self.group(field.group, path)
        value = self.value(field)
        self.reached.add(("field", path, None))
        if (codes := field.note(Codes)) is not None:
            self.reached.add(("term", codes.name, value))
        return value

    def value(self, field: model.Field) -> Any:
        rng = self.rng
        if (codes := field.note(Codes)) is not None:
            return rng.choice(list(codes))
        if field.name == "id":
            return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(12))
        if (pattern := field.note(model.Pattern)) is not None:
            return rng.choice(PATTERNS[pattern.says])
        between = field.note(model.Between) or model.Between(-1000, 1000)
        if field.base is int:
            return rng.choice([between.low, between.high, rng.randint(between.low, between.high)])
        if field.base is Decimal:
            number = Decimal(rng.randint(between.low * 100, between.high * 100)) / 100
            return rng.choice([Decimal(between.low), Decimal(between.high), number, number.quantize(Decimal("0.00")), number.to_integral_value()])
        if field.base is bool:
            return rng.random() < 0.5
        if field.base is datetime:
            later = timedelta(minutes=rng.randint(0, 100_000), microseconds=rng.choice([0, 0, 120_000, 1]))
            return datetime(2026, 3, 2, 9, 0, tzinfo=rng.choice(OFFSETS)) + later
        if field.base is date:
            return date(2026, 3, 2) + timedelta(days=rng.randint(-10_000, 500))
        length = field.note(model.Length)
        return rng.choice(WORDS)[: length.most if length else None]


def repaired(kind: Kind, it: Any, rng: random.Random) -> Any:
    """The entity without what no record can hold: made at random, it may run backwards, or answer a question that was not asked."""
    it = forwards(it)
    return REPAIRS.get(kind.name, lambda it, _rng: it)(it, rng)


def forwards(it: Any) -> Any:
    """Starts before ends, in the entity and in everything in it."""
    changed: dict[str, Any] = {}
    for field in model.fields_of(type(it)):
        value = getattr(it, field.name)
        if field.group is not None and value:
            changed[field.name] = tuple(map(forwards, value)) if field.many else forwards(value)
    it = replace(it, **changed)
    for start, end in (("start", "end"), ("start", "completed_at"), ("valid_from", "valid_to")):
        first, last = getattr(it, start, None), getattr(it, end, None)
        if first is not None and last is not None and last < first:
            it = replace(it, **{end: first + timedelta(days=1)})
    return it


def _clinic(it: Any, _rng: random.Random) -> Any:
    def at_work(items: Any) -> Any:
        return tuple(replace(one, use="work") if one.use == "home" else one for one in items)

    return replace(it, address=at_work(it.address), telecom=at_work(it.telecom))


def _background(it: Any, _rng: random.Random) -> Any:
    return replace(it, medications=tuple(m if m.code or m.text else replace(m, text="Sertraline") for m in it.medications))


def answered(one: Any, rng: random.Random) -> Any:
    """An instrument's answers within its range; a total only where it is the score, or where no item is there."""
    instrument = INSTRUMENTS[one.instrument]
    if one.items:
        how_many = len(instrument.links) if rng.random() < 0.7 else rng.randint(1, len(instrument.links))
        numbers = sorted(rng.sample(range(1, len(instrument.links) + 1), how_many))
        one = replace(one, items=tuple(Answer(item=n, answer=rng.randint(instrument.least, instrument.most)) for n in numbers))
    total = one.total
    if instrument.score is None or (one.items and len(one.items) < len(instrument.links)):
        total = None
    elif one.items:
        total = None if total is None else instrument.score([a.answer for a in one.items]).quantize(Decimal("0.01")).normalize() + 0
    elif total is not None:
        total = Decimal(rng.randint(instrument.least, instrument.most))
    return replace(one, total=total, **({"risk_level": None} if instrument.risk is None and hasattr(one, "risk_level") else {}))


def _screening(it: Any, rng: random.Random) -> Any:
    review = it.medication_review
    if review is not None and review.items and review.background_id is None:
        review = replace(review, background_id="background-1")
    return replace(
        it, medication_review=review,
        instruments=tuple(answered(i, rng) for i in it.instruments),
        sensitive_instruments=tuple(answered(i, rng) for i in it.sensitive_instruments),
    )  # fmt: skip


def c_ssrs(answers: Any, rng: random.Random) -> Any:
    return tuple(Answer(item=n, answer=rng.randint(0, 1)) for n in sorted(rng.sample(range(1, 8), len(answers))))


def _dosing(it: Any, rng: random.Random) -> Any:
    given = [dose.id for dose in it.administrations]
    status = "aborted" if it.status in ("cancelled", "no-show") and given else it.status
    checks = it.pre_checks and replace(it.pre_checks, cs_srs_answers=c_ssrs(it.pre_checks.cs_srs_answers, rng))
    order = it.prescription
    if order is not None and order.weight_measured_at is None:
        order = replace(order, weight_kg=None)
    return replace(
        it, status=status, reason=it.reason if status in ("cancelled", "no-show", "aborted") else None, pre_checks=checks, prescription=order,
        observations=tuple(replace(o, administration_id=rng.choice(given) if given and o.administration_id else None) for o in it.observations),
    )  # fmt: skip


def _plan(it: Any, rng: random.Random) -> Any:
    goals = [goal.id for goal in it.goals]
    experiments = tuple(replace(x, goal_id=rng.choice(goals) if goals and x.goal_id else None) for x in it.small_experiments)
    return replace(it, small_experiments=experiments)


def _event(it: Any, _rng: random.Random) -> Any:
    return replace(it, administration_id=it.administration_id if it.encounter_id else None)


REPAIRS = {
    "clinic": _clinic, "medical-background": _background, "screening": _screening, "dosing-encounter": _dosing, "integration-care-plan": _plan,
    "adverse-event": _event,
}  # fmt: skip

ALL_KINDS = list(KINDS.values())
