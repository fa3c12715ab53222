"""What an EHR really holds, resource by resource: read there by its own ids, looked for by our identifiers, and put right if asked.

Streams are looked at some at a time, places first. No transaction is open while the EHR is asked; what changed here meanwhile is
looked at again, so that nothing that a worker is just delivering is taken for wrong.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from mappings import KINDS
from mappings.kind import ONE_IDENTIFIER
from mappings.parts import system_of
from mappings.references import ids_in
from mappings.search import PARAMETERS
from service.renderings import text_of, uuid_of
from service.store import copies, reconciliation
from service.store.clock import micros
from service.store.copies import Copy
from service.store.reading import numbers
from service.store.reconciliation import Known, Report
from service.store.tables import THERE
from service.store.targets import Target
from service.sync import comparing, deliver, documents
from service.sync.abilities import Abilities
from service.sync.comparing import DIFFERS, MISSING, OVER_HELD, SAME, TWICE, UNKNOWN, Finding, Theirs, Unread
from service.sync.deliver import Match, Owed, Ready, Standing, Terms
from service.sync.looking import Looking
from service.sync.outcomes import Outcome, id_of
from service.wire import read
from service.wiring import Service

PATIENTS = 10  # at a time
LOOKS = 3  # at what changes while it is looked at
DOUBTFUL = (DIFFERS, MISSING, OVER_HELD)
PAGE = 100
TYPES = (*PARAMETERS, documents.TYPE)
EVERYTHING = Abilities({type_: frozenset({"create", "update", "delete"}) for type_ in TYPES})  # what is there is compared, whoever brought it there


@dataclass
class Reconciling:
    """One EHR while it is reconciled: what was found so far, and what keeps that from being all."""

    service: Service
    target: Target
    looking: Looking
    able: Abilities
    repair: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    owed: int = 0
    looked_at: int = 0  # patients; places count as one
    held: set[str] = field(default_factory=set)  # the types of which there are copies

    @property
    def now(self) -> int:
        return micros(self.service.tenant.now())

    def everything(self) -> Iterator[Finding]:
        """Every resource that the EHR holds or should hold, then what is there besides. Raises NotAnswering."""
        with self.service.database.reading() as connection:
            places = reconciliation.places(connection)
        yield from self._counted(self._some(places=places))
        last, more = 0, True
        while more:
            with self.service.database.reading() as connection:
                keys = reconciliation.keys(connection, last, PATIENTS)
            yield from self._counted(self._some(patients=keys))
            last, more = (keys or [0])[-1], len(keys) == PATIENTS
        for type_ in self._searched_types():
            queries = [f"identifier={_quoted(system)}%7C&_count={PAGE}" for system in _systems(type_)]
            yield from self._counted(self._besides(type_, queries, None))

    def of_patient(self, num: int, uuid: bytes) -> Iterator[Finding]:
        """The same for one patient, by the numbers of the entity and the id of the resource. Raises NotAnswering."""
        yield from self._counted(self._some(patients=[num]))
        with self.service.database.reading() as connection:
            number = numbers(connection, [uuid]).get(uuid, 0)
            there = copies.held(connection, self.target.id, [number]).get(number)
        yield from self._counted(self._besides("Patient", [f"identifier={_quoted(system_of('Patient'))}%7C{text_of(uuid)}"], None))
        if there is None or there.remote_id is None:
            return
        for type_ in self._searched_types():
            offered = PARAMETERS.get(type_, ("patient", "subject"))
            name = next((name for name in ("patient", "subject") if self.able.searches(type_, name) and name in offered), None)
            if name is not None:
                queries = [f"{name}={_quoted(there.remote_id)}&identifier={_quoted(system)}%7C&_count={PAGE}" for system in _systems(type_)]
                yield from self._counted(self._besides(type_, queries, f"Patient/{there.remote_id}"))

    def _counted(self, found: Iterable[Finding]) -> Iterator[Finding]:
        for one in found:
            self.counts[one.verdict] += 1
            yield one

    def _searched_types(self) -> list[str]:
        """Those of which there can be anything of ours."""
        taken = [type_ for type_ in PARAMETERS if self.target.takes(type_)]
        made = [type_ for type_ in (*taken, documents.TYPE) if type_ in self.held or self.able.can(type_, "create")]
        return [type_ for type_ in made if self.able.searches(type_, "identifier")]

    # --- what we know to be there

    def _some(self, *, patients: Sequence[int] = (), places: Sequence[int] = ()) -> list[Finding]:
        """How the resources of some streams stand."""
        found: dict[int, Finding | None] = {}
        known: dict[int, Known] = {}
        left: Iterable[Known] = self._known(patients, places).values()
        for _ in range(LOOKS):
            round_ = {one.num: one for one in left}
            known |= round_
            found |= self._looked_at(round_)
            doubtful = [num for num in round_ if (it := found[num]) is not None and it.verdict in DOUBTFUL]
            if not doubtful:
                break
            again = self._known(patients, places)
            found |= dict.fromkeys(set(doubtful) - again.keys())
            left = [again[num] for num in doubtful if num in again and again[num] != known[num]]
        if self.repair:
            self._put_right(known, {num: it for num, it in found.items() if it is not None})
        self.looked_at += len(patients) or 1
        return [it for it in found.values() if it is not None]

    def _known(self, patients: Sequence[int], places: Sequence[int]) -> dict[int, Known]:
        with self.service.database.reading() as connection:
            of_patients = reconciliation.of_patients(connection, self.target, patients, self.now)
            of_resources = reconciliation.of_resources(connection, self.target, places, self.now)
        return {one.num: one for one in (*of_resources, *of_patients)}

    def _looked_at(self, known: dict[int, Known]) -> dict[int, Finding | None]:
        there = self._referred(known.values())
        found: dict[int, Finding | None] = {}
        self.held |= {documents.TYPE if "/" in one.remote_id else one.type for one in known.values() if one.remote_id is not None}
        for num, one in known.items():
            taken = self.target.takes(one.type)
            if one.remote_id is None:
                found[num] = comparing.not_there(one, taken=taken)
            else:
                found[num] = comparing.judged(one, self._theirs(one.type, one.remote_id), _ready(one, there), taken=taken)
        return found

    def _theirs(self, type_: str, remote_id: str) -> Theirs:
        type_ = documents.TYPE if "/" in remote_id else type_
        if self.able.interactions and not self.able.can(type_, "read"):
            return Unread(f"This EHR says that no {type_} can be read there")
        return self.looking.read(type_, remote_id)

    def _referred(self, known: Iterable[Known]) -> dict[str, Standing]:
        """How everything stands at the EHR that these refer to, by its id here."""
        uuids = {uuid_of(uuid) for one in known if one.remote_id is not None for uuid in _references(one)}
        with self.service.database.reading() as connection:
            nums = numbers(connection, uuids)
            held = copies.held(connection, self.target.id, nums.values())
        there = {num: one.remote_id for num, one in held.items() if not (one.as_document or one.vanished)}
        return {text_of(uuid): Standing(deliver.HELD, num, remote_id) for uuid, num in nums.items() if (remote_id := there.get(num)) is not None}

    def _put_right(self, known: dict[int, Known], found: dict[int, Finding]) -> None:
        """Owes again what differs or is missing, and what refers to the missing, which comes to have another id there.

        Whoever has it put right has seen what differs and decided for what we say; what the EHR changes after that is merged or in conflict.
        """
        missing = {num for num, it in found.items() if it.verdict == MISSING}
        lost = {text_of(known[num].uuid) for num in missing}
        wrong = {num for num, it in found.items() if it.verdict in (DIFFERS, MISSING)}
        if lost:
            wrong |= {num for num, it in found.items() if it.verdict == SAME and lost & _references(known[num])}
        if wrong:
            again = [reconciliation.Again(known[num], seen=found[num].seen, missing=num in missing) for num in sorted(wrong)]
            self.owed += self.service.database.write(lambda tx: reconciliation.owe_again(tx, self.target, again, self.now))

    # --- what is there besides

    def _besides(self, type_: str, queries: list[str], whose: str | None) -> Iterator[Finding]:
        """What a search by our identifiers finds that is not where we know it to be. `whose` leaves out what is about anybody else."""
        seen: dict[tuple[str, str], set[str]] = defaultdict(set)
        for query in queries:
            for page in self.looking.search(type_, query, self.problems):
                theirs = [one for one in page if id_of(one) and (whose is None or _is_about(one, whose))]
                yield from self._unknown(type_, theirs, seen)

    def _unknown(self, type_: str, page: list[dict[str, Any]], seen: dict[tuple[str, str], set[str]]) -> Iterator[Finding]:
        ours = [(str(one["id"]), named) for one in page for named in comparing.our_identifiers(one)[:1]]
        uuids = {named: uuid for _, named in ours if (uuid := self._uuid(type_, *named)) is not None}
        with self.service.database.reading() as connection:
            nums = numbers(connection, uuids.values())
            known = {one.num: one for one in reconciliation.of_resources(connection, self.target, list(nums.values()), self.now)}
        for remote_id, named in ours:
            one = known.get(nums.get(uuids.get(named, b""), 0))
            before = seen.get(named, set()) | ({remote} if one is not None and (remote := _as(type_, one)) is not None else set())
            if remote_id in before:
                continue
            seen[named].add(remote_id)
            if before:
                yield _besides(TWICE, type_, one, (*sorted(before), remote_id), "Several there have our identifier")
            elif one is None or not one.is_open:
                yield _besides(UNKNOWN, type_, one, (remote_id,), "We know of no copy" if one is not None else "Nothing here has this identifier")

    def _uuid(self, type_: str, names: str, value: str) -> bytes | None:
        """The id here of what an identifier of ours names: a resource by itself, or the head of a record by the clinic's key."""
        kind = KINDS.get(names)
        found = self.service.tenant.ids().id(kind.name, value, kind.head.role) if kind is not None and kind.head.type == type_ else value
        try:
            uuid = uuid_of(found)
        except ValueError:
            return None
        return uuid if len(uuid) == 16 else None


def report(of: Reconciling, began: int) -> Report:
    now = of.now
    counts = {verdict: of.counts[verdict] for verdict in comparing.VERDICTS}
    return Report(of.target.id, now, round((now - began) / 1_000_000, 1), counts, sorted(set(of.problems)))


def _ready(one: Known, there: dict[str, Standing]) -> Ready | Match | Outcome:
    """What would be sent now."""
    assert one.remote_id is not None
    body = read(one.body) if one.body else None
    held = Copy("", one.num, one.remote_id, one.remote_version, one.held_version, one.held_level, b"")
    owed = Owed(0, one.num, text_of(one.uuid), one.type, one.version or "", one.level, 0, body, gone=one.state != THERE)
    never = Standing(deliver.NEVER, 0)
    return deliver.prepared(owed, held, EVERYTHING, lambda _type, uuid: there.get(uuid, never), Terms(create_people=True))


def _references(one: Known) -> set[str]:
    if not one.body:
        return set()
    return {uuid for uuid in ids_in({"resourceType": one.type, **read(one.body)}) if len(uuid) == 36}


def _as(type_: str, one: Known) -> str | None:
    """The EHR's id of what it has as a resource of a type: what has gone there as a document is there as nothing else."""
    kind, _, id_ = (one.remote_id or "").rpartition("/")
    return (id_ or None) if (kind or one.type) == type_ else None


def _besides(verdict: str, type_: str, one: Known | None, remote_ids: tuple[str, ...], words: str) -> Finding:
    if one is None:
        return Finding(verdict, type_, remote_ids=remote_ids, words=words)
    return Finding(verdict, type_, text_of(one.uuid), one.kind, one.entity, remote_ids, words=words)


def _is_about(resource: dict[str, Any], whose: str) -> bool:
    return any(str(found.get("reference", "")).endswith(whose) for name in ("subject", "patient", "for") if isinstance(found := resource.get(name), dict))


def _systems(type_: str) -> list[str]:
    """Our identifier systems of a type: its own, and of what can have but one identifier that of the records whose head it is."""
    heads = [system_of(kind.name) for kind in KINDS.values() if kind.head.type == type_ and type_ in ONE_IDENTIFIER]
    return [system_of(type_), *heads]


def _quoted(text: str) -> str:
    return quote(text, safe="")
