"""People and places are the EHR's own: which of its is ours, told by what both say. Pure.

| ours         | is looked for by           | and is theirs where these agree, in one alone      |
| ------------ | -------------------------- | -------------------------------------------------- |
| Patient      | NHS number                 | NHS number, birth date and family name together    |
| Practitioner | a registration (GMC, ...)  | the registration                                   |
| Organization | ODS code                   | ODS code                                           |

Rooms and roles have nothing that both know: they are referred to by our identifiers. None, several, or one that is
not in use any more is for a person to decide: the candidates are shown by the EHR's ids and by what agrees, never by
what they say.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mappings.codes import NHS_NUMBER, ODS_ORGANISATION, REGISTRATION_BODY
from service.sync.outcomes import objects

KNOWN_BY: dict[str, dict[str, str]] = {
    "Patient": {NHS_NUMBER: "NHS number"},
    "Practitioner": {system: f"{body} registration" for body, system in REGISTRATION_BODY.items()},
    "Organization": {ODS_ORGANISATION: "ODS code"},
}
SHOWN = 10  # candidates


@dataclass(frozen=True)
class Candidate:
    """One of the EHR's own that may be ours: its id there, and what agrees."""

    remote_id: str
    agrees: Mapping[str, bool]

    @property
    def is_ours(self) -> bool:
        return all(self.agrees.values())


def identifiers(body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Those of a resource's identifiers by which an EHR may know it too."""
    known = KNOWN_BY.get(str(body.get("resourceType")), {})
    found = [one for one in objects(body.get("identifier")) if one.get("system") in known and isinstance(one.get("value"), str)]
    return [{"system": one["system"], "value": one["value"]} for one in found]


def candidate(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Candidate:
    return Candidate(str(theirs.get("id")), agreement(ours, theirs))


def comes_near(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether somebody should see it: it has an identifier of ours, or all that a person is known by besides. An EHR that ignores a filter finds everybody."""
    agrees = agreement(ours, theirs)
    besides = ("birth date", "family name")
    return any(found for name, found in agrees.items() if name not in (*besides, "in use")) or all(agrees.get(name, False) for name in besides)


def agreement(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, bool]:
    """What tells whether two are one, and whether it does."""
    known = KNOWN_BY.get(str(ours.get("resourceType")), {})
    mine, its = identifiers(ours), identifiers(theirs)
    found = {known[one["system"]]: one in its for one in mine}
    if ours.get("resourceType") == "Patient":
        found.setdefault("NHS number", False)
        found["birth date"] = bool(ours.get("birthDate")) and ours.get("birthDate") == theirs.get("birthDate")
        found["family name"] = bool(_families(ours) & _families(theirs))
    elif any(found.values()):  # who is registered twice is the same by either
        found = {name: True for name, agrees in found.items() if agrees}
    found["in use"] = theirs.get("active") is not False and not any(link.get("type") == "replaced-by" for link in objects(theirs.get("link")))
    return found


def _families(person: Mapping[str, Any]) -> set[str]:
    return {_plain(name["family"]) for name in objects(person.get("name")) if isinstance(name.get("family"), str) and name.get("use") != "old"} - {""}


def _plain(name: str) -> str:
    """A name without case, accents, spaces, hyphens and apostrophes, in which registers differ."""
    return "".join(c for c in unicodedata.normalize("NFKD", name).casefold() if c.isalnum())


def told(found: Iterable[Candidate]) -> str:
    """Candidates in words: an id, and what does not agree."""
    said = []
    for one in list(found)[:SHOWN]:
        wrong = [name for name, agrees in one.agrees.items() if not agrees]
        said.append(f"{one.remote_id} ({'not: ' + ', '.join(wrong) if wrong else 'all agrees'})")
    return "; ".join(said)
