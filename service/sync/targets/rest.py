"""FHIR REST as R4 describes it: create once, update the version that we know, and look before doing anything twice.

| what R4 says (3.1.0)                             | what is done                                                                  |
| ------------------------------------------------ | ----------------------------------------------------------------------------- |
| If-None-Exist: 0 creates, 1 is 200, more is 412  | create by our identifier; what was there already is compared, and updated     |
| no conditional create                            | search by our identifier, then create                                         |
| If-Match with the version that is known          | update; 409 and 412 alike: read, and send what changed beside what they did   |
| an answer may be empty, or no JSON               | success is the status; the id is in Location; what was made of it is read     |
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from mappings.element import keeps
from service.sync import searches, transactions
from service.sync.abilities import Abilities
from service.sync.deliver import NEVER_SENT, UNSENT, Match, Ready, identifier_of, not_updated, our_identifier
from service.sync.door import Door, within
from service.sync.matching import Candidate, candidate, comes_near, told
from service.sync.merging import agreed, insisted, made_of, merge, still
from service.sync.outcomes import (
    NOT_THERE,
    Contested,
    Delivered,
    Matched,
    Moot,
    Outcome,
    Refused,
    Reply,
    Retry,
    Unsupported,
    Unsure,
    id_of,
    is_error,
    judged,
    next_link,
    objects,
    version_of,
)
from service.sync.transactions import Entry, Told
from service.sync.transport import Interrupted, NotLetIn, NotReached

Said = TypeVar("Said")
MOST_PAGES = 20  # of a search for what may be there already


class Rest:
    """One EHR, spoken to at its door.

    With `careful` what we do not know of may be there since before: a backup was restored here, or the EHR was removed and added again.
    """

    def __init__(self, door: Door, *, careful: bool = False):
        self._door, self.careful = door, careful
        self.base, self.heard = door.base, door.heard

    def statement(self) -> Mapping[str, Any]:
        """Its CapabilityStatement. Raises NotReached, Interrupted, or ValueError for an answer that is none."""
        reply = self._door.openly("/metadata")
        found = reply.json()
        if reply.status != 200 or found is None or found.get("resourceType") != "CapabilityStatement":
            raise ValueError(f"metadata is answered with {reply.status} and no CapabilityStatement")
        return found

    def get(self, path: str) -> Reply:
        """What a read or a search is answered with, past the EHR's caches. Raises NotReached and Interrupted."""
        return self._door.call("GET", path, headers={"Cache-Control": "no-cache"})

    def deliver(self, ready: Ready, able: Abilities) -> Outcome:
        """Brings the EHR to hold what is ready, and says what came of it."""
        if ready.owed.gone and ready.remote is None:
            return _spoken(lambda: self._disown(ready, able))
        if ready.owed.body is None:
            return _spoken(lambda: self._delete(ready))
        if ready.remote is not None:
            return _vanished(_spoken(lambda: self._update(ready)), str(ready.remote.remote_id))
        return _spoken(lambda: self._create(ready, able))

    def transaction(self, entries: Sequence[Entry]) -> list[Told] | Outcome:
        """Brings the EHR to hold all of several or none, and says what came of each; or of all alike, where Refused is for none of them done."""
        made, first = transactions.bundle(entries, self.base), entries[0].ready.owed.delivery
        return _spoken(lambda: transactions.told(entries, self._door.call("POST", "", made, delivery=first)))

    def match(self, wanted: Match, able: Abilities) -> Outcome:
        """Finds the one person or place of the EHR's own that is ours; with none or several, says which come near."""
        try:
            found = self.candidates(wanted.body, able)
        except NotLetIn as error:
            return _kept_out(error)
        except NotReached as error:
            return Retry("unreached", f"The EHR is not reached: {error}", snoozes=True)
        except Interrupted as error:
            return Retry("transient", f"The answer was lost: {error}")  # nothing was written
        if not isinstance(found, list):
            return found
        ours = [one for one in found if one.is_ours]
        if len(ours) == 1:
            return Matched(ours[0].remote_id)
        said = "Several there are this one" if ours else "None there is this one for sure" if found else f"No {wanted.owed.type} there is this one"
        return Refused(f"{said}{': ' if found else ''}{told(found)}. Link it to the EHR's own, or have it entered there")

    def candidates(self, ours: Mapping[str, Any], able: Abilities) -> list[Candidate] | Outcome:
        """Who of the EHR's own may be this one: by identifier, else by name and birth date. Raises NotReached and Interrupted."""
        type_ = str(ours["resourceType"])
        found: dict[str, Candidate] = {}
        for query in searches.people(ours, able):
            theirs = self._searched(type_, query, lambda one: comes_near(ours, one), whole=True)
            if not isinstance(theirs, list):
                return theirs
            found |= {str(one["id"]): candidate(ours, one) for one in theirs}
            if any(one.is_ours for one in found.values()):
                break
        return list(found.values())

    def delete(self, type_: str, remote_id: str, delivery: int = 0) -> Outcome:
        reply = self._door.call("DELETE", f"/{type_}/{remote_id}", delivery=delivery)
        outcome = judged(reply, updating=True)
        return Delivered(None, None, reply.status) if reply.status in NOT_THERE or isinstance(outcome, Delivered) else outcome

    def _delete(self, ready: Ready) -> Outcome:
        assert ready.remote is not None and ready.remote.remote_id is not None, "only what is held is deleted"
        return self.delete(ready.owed.type, ready.remote.remote_id, ready.owed.delivery)

    def _disown(self, ready: Ready, able: Abilities) -> Outcome:
        """What may have been created before it was gone: corrected or deleted where it is there, and never created."""
        owed, found = ready.owed, None
        said: Mapping[str, Any] = ready.body or (*ready.earlier(), {})[0]
        if able.searches(owed.type, "identifier"):
            found = self._found(owed.type, our_identifier(said) or identifier_of(owed.type, owed.uuid))
        elif said and searches.once(said, able, careful=True) == searches.UNCHANGING and (ready.body or searches.is_in_our_words(said)):
            found = self._found_by(owed.type, said)
        if found is None or (isinstance(found, list) and len(found) > 1):
            return Refused("It may have been created before it was gone, and is not found for sure: look there, and have it corrected or removed")
        if not isinstance(found, list):
            return found
        if not found:
            return Moot(NEVER_SENT)
        remote_id = str(found[0]["id"])
        return self.delete(owed.type, remote_id, owed.delivery) if owed.body is None else self._existing(ready, remote_id)

    # --- create

    def _create(self, ready: Ready, able: Abilities) -> Outcome:
        type_, identifier = ready.owed.type, our_identifier(ready.body)
        match searches.once(ready.body, able, careful=ready.owed.unsure or self.careful):
            case searches.CONDITION if identifier is not None:
                return self._create_conditionally(ready, identifier)
            case searches.IDENTIFIER if identifier is not None:
                return self._known(self._create_after(self._found(type_, identifier), ready), ready, identifier)
            case searches.UNCHANGING:
                return self._create_after(self._found_by(type_, ready.body), ready)
        if ready.owed.unsure:
            return Refused("It may have been created, and this EHR cannot be asked: look there before it is replayed")
        return self._post(ready)

    def _post(self, ready: Ready, conditions: Mapping[str, str] | None = None) -> Outcome:
        """Creates. An EHR that knows a request again may say 409 with what it made of it then (HealthLake): that is what was there already."""
        reply = self._door.call("POST", f"/{ready.owed.type}", ready.body, conditions, ready.owed.delivery)
        there, mine = (reply.json() or {}) if reply.status == 409 else {}, searches.source(ready.body)
        if mine and there.get("resourceType") == ready.owed.type and id_of(there) and searches.source(there) == mine:
            return self._existing(ready, there["id"])
        outcome = judged(reply, updating=False)
        was_there = conditions is not None and reply.status == 200
        return self._shown(outcome, ready) if isinstance(outcome, Delivered) and not was_there else outcome

    def _known(self, outcome: Outcome, ready: Ready, identifier: Mapping[str, str]) -> Outcome:
        """What was created, found by our identifier where the answer did not say under which id."""
        if isinstance(outcome, Delivered) and outcome.remote_id is None:
            return self._existing_by_search(ready, identifier)
        return outcome

    def _create_after(self, found: list[dict[str, Any]] | Outcome, ready: Ready) -> Outcome:
        """Creates what a search did not find; brings what it found up to date; gives up where it found several."""
        if not isinstance(found, list):
            return found
        if len(found) > 1:
            return Refused(f"Several there are this one: {', '.join(str(one.get('id')) for one in found)}")
        if found:
            return self._existing(ready, str(found[0].get("id")))
        if ready.owed.unsure and searches.is_hidden(ready.body):
            return Refused("It may have been created, and this EHR may show only what is active: look there before it is replayed")
        return self._post(ready)

    def _create_conditionally(self, ready: Ready, identifier: Mapping[str, str]) -> Outcome:
        outcome = self._post(ready, {"If-None-Exist": searches.condition(identifier)})
        if not isinstance(outcome, Delivered) or outcome.status != 200:
            return self._known(outcome, ready, identifier)
        return self._existing(ready, outcome.remote_id) if outcome.remote_id else self._existing_by_search(ready, identifier)

    def _existing_by_search(self, ready: Ready, identifier: Mapping[str, str]) -> Outcome:
        found = self._found(ready.owed.type, identifier)
        if not isinstance(found, list):
            return found
        if len(found) != 1:
            return Refused(f"{len(found)} there have our identifier")
        return self._existing(ready, str(found[0].get("id")))

    def _existing(self, ready: Ready, remote_id: str) -> Outcome:
        """What an attempt before this one created: compared, and brought up to date where it differs."""
        theirs, version = self._read(ready.owed.type, remote_id)
        if not isinstance(theirs, dict):
            return theirs
        if not ready.updates and not same(theirs, ready.body):
            return Unsupported(not_updated(ready.owed.type), remote_id=remote_id, remote_version=version)
        outcome = _spoken(lambda: self._beside(ready, remote_id, theirs, version) or self._put(ready, remote_id, version))
        if isinstance(outcome, Refused | Retry | Unsure) and ready.remote is None and outcome.status not in NOT_THERE:
            return replace(outcome, remote_id=remote_id, remote_version=version)  # it is not to be created again
        return outcome

    def _beside(self, ready: Ready, remote_id: str, theirs: dict[str, Any], version: str | None) -> Outcome | None:
        """Brings what the EHR holds now to say what we say, without undoing what it changed itself; None where nobody knows what it changed."""
        remote = ready.remote
        if alike(theirs, ready.body):
            return Delivered(remote_id, version, 200, theirs)
        seen = seen_hash(theirs)
        if ready.owed.gone or (remote is not None and remote.sent_hash and remote.seen_hash == seen):
            return self._put(ready, remote_id, version)
        base = agreed(ready.earlier(), theirs, ready.known)
        if base is None:
            return Delivered(remote_id, version, 200, theirs, merged=remote is not None) if same(theirs, ready.body) else None
        found = merge(base, ready.body, theirs, ready.known)
        if remote is not None and remote.decided == seen:
            found = insisted(found, ready.body, ready.known)
        conflicts = found.conflicts
        if ready.doubtful and not still(base, theirs, ready.known):
            conflicts = tuple(made_of(ready.body, theirs))
        elif ready.restored and (remote is None or remote.is_left(seen)):
            conflicts = ()
        if conflicts:
            return Contested(remote_id, conflicts, dict(base), ready.body, theirs, version)
        apart = tuple(name for name in found.kept if name in base or name in ready.body)
        if alike(theirs, found.body):
            return Delivered(remote_id, version, 200, theirs, merged=True, kept=apart)
        outcome = self._put(replace(ready, body=found.body), remote_id, version)
        more = bool(found.kept) or not same(ready.body, found.body)
        return replace(outcome, merged=more, kept=apart) if isinstance(outcome, Delivered) else outcome

    def _read(self, type_: str, remote_id: str) -> tuple[dict[str, Any] | Outcome, str | None]:
        """What the EHR holds under an id, and its version; or what kept us from reading it."""
        reply = self._door.call("GET", f"/{type_}/{remote_id}", headers={"Cache-Control": "no-cache"})
        found = reply.json()
        if reply.status == 200 and found is not None and found.get("resourceType") == type_:
            return found, version_of(reply)
        return judged(reply, updating=True) if reply.status >= 400 else Refused(f"It is there as {remote_id} and cannot be read", reply.status), None

    def _found(self, type_: str, identifier: Mapping[str, str]) -> list[dict[str, Any]] | Outcome:
        return self._searched(type_, searches.by(identifier), lambda found: our_identifier(found) == dict(identifier))

    def _found_by(self, type_: str, said: Mapping[str, Any]) -> list[dict[str, Any]] | Outcome:
        """What R4 gives no search by identifier for, told by what it says of itself."""
        mine = searches.source(said)
        return self._searched(type_, searches.by_what_never_changes(said), lambda found: searches.source(found) == mine)

    def _searched(self, type_: str, query: str, ours: Callable[[dict[str, Any]], bool], *, whole: bool = False) -> list[dict[str, Any]] | Outcome:
        """What a search finds that is ours. An EHR that did not understand the search answers with pages and pages of others' things.

        `whole` is for what may be only one among several: it is nothing as long as not all of them are shown.
        """
        path: str | None = f"/{type_}?{query}"
        mine: dict[str, dict[str, Any]] = {}
        told = 0
        for _ in range(MOST_PAGES):
            if path is None:
                break
            reply = self._door.call("GET", path, headers={"Cache-Control": "no-cache", "Prefer": "handling=strict"})
            found = reply.json()
            if reply.status != 200 or found is None or found.get("resourceType") != "Bundle":
                return judged(reply, updating=False) if reply.status >= 400 else Refused(f"A search is answered with {reply.status} and no Bundle")
            entries = [one for entry in objects(found.get("entry")) if isinstance(one := entry.get("resource"), dict)]
            for one in (one for one in entries if one.get("resourceType") == type_ and ours(one)):
                if (id_ := id_of(one)) is None:
                    return Refused("What is there has an id by which it cannot be asked for")
                mine[id_] = one  # some find a resource twice
            if (whole or not mine) and any(is_error(one) for one in entries):
                return Refused("What a search finds there is not all shown" if whole else "What a search finds there is not shown: it may be there already")
            link, told, total = next_link(found), told + len(entries), found.get("total")
            if link is None and whole and isinstance(total, int) and told < total:
                return Refused(f"A search finds {total} there and shows {told}")
            if link is None:
                return list(mine.values())
            path = within(self.base, path, link)
        if whole:
            return Refused("What a search finds there is not all shown: its pages have no end, or are elsewhere")
        return list(mine.values()) or Refused("What a search finds there is too much to look through: it may be there already")

    # --- update

    def _update(self, ready: Ready) -> Outcome:
        remote = ready.remote
        assert remote is not None and remote.remote_id is not None
        if ready.owed.unsure or not remote.sent_hash:  # after a restore nobody knows what was sent last
            return self._existing(ready, remote.remote_id)
        outcome = self._put(ready, remote.remote_id, remote.remote_version)
        if isinstance(outcome, Retry) and outcome.kind == "conflict":
            return self._after_conflict(ready, remote.remote_id)
        return outcome

    def _put(self, ready: Ready, remote_id: str, version: str | None) -> Outcome:
        match, body = {"If-Match": version} if version else {}, {**ready.body, "id": remote_id}
        outcome = judged(self._door.call("PUT", f"/{ready.owed.type}/{remote_id}", body, match, ready.owed.delivery), updating=True)
        return self._shown(replace(outcome, remote_id=remote_id), ready) if isinstance(outcome, Delivered) else outcome

    def _shown(self, outcome: Delivered, ready: Ready) -> Delivered:
        """With what the EHR made of what was written: read back where the answer does not show it, as long as it is that version."""
        seen, version = outcome.seen, outcome.remote_version
        if seen is None and outcome.remote_id is not None:
            with suppress(NotReached, Interrupted, NotLetIn):
                found, there = self._read(ready.owed.type, outcome.remote_id)
                if isinstance(found, dict) and version in (None, there):
                    seen, version = found, there
        if seen is None:
            return outcome
        return replace(outcome, seen=seen, remote_version=version, made={} if ready.as_document else made_of(ready.body, seen))

    def _after_conflict(self, ready: Ready, remote_id: str) -> Outcome:
        """The EHR holds another version: ours already, the one that we saw under another number, or somebody else's change."""
        theirs, version = self._read(ready.owed.type, remote_id)
        if not isinstance(theirs, dict):
            return theirs
        return self._beside(ready, remote_id, theirs, version) or Refused("It was changed at the EHR since we last sent it", 412)


def _spoken(call: Callable[[], Said]) -> Said | Outcome:
    """What came of a write; or what kept it from being made, or its answer from us."""
    try:
        return call()
    except NotLetIn as error:
        return _kept_out(error)
    except NotReached as error:
        return Retry("unreached", f"The EHR is not reached: {error}", snoozes=True)
    except Interrupted as error:
        return Unsure(f"The answer was lost: {error}")


def _kept_out(error: NotLetIn) -> Retry:
    return Retry("auth", error.words, error.status, error.retry_after, snoozes=True)


def _vanished(outcome: Outcome, remote_id: str) -> Outcome:
    """What is not found when it is updated is there no more, whoever removed it."""
    if isinstance(outcome, Refused) and outcome.status in NOT_THERE:
        return Refused(f"It was there as {remote_id} and is no more: a replay creates it anew", outcome.status)
    return outcome


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether all that the other says is in the one, which may say more: of theirs and ours, whether the EHR holds what we say."""
    return keeps(dict(one), {name: value for name, value in other.items() if name not in UNSENT})


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both say the same, and neither more than the other."""
    return same(one, other) and same(other, one)


def seen_hash(theirs: Mapping[str, Any]) -> bytes:
    """A hash of the EHR's own answer, without what it changes by itself."""
    return hashlib.sha256(json.dumps({n: v for n, v in theirs.items() if n not in UNSENT}, sort_keys=True, default=str).encode()).digest()
