"""Two-way tables of terms and codes, which refuse to load when the way back is ambiguous."""

from collections.abc import Iterator, Mapping
from typing import Any

OURS = "https://pathway-fhir.example"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
HL7 = "http://terminology.hl7.org/CodeSystem/"
V3 = HL7 + "v3-"

Term = str | int | bool
Coding = dict[str, str]


def coding(system: str, code: str, display: str | None = None) -> Coding:
    return {"system": system, "code": code, "display": display} if display else {"system": system, "code": code}


def concept(*codings: Coding, text: str | None = None) -> dict[str, Any]:
    return {"coding": list(codings), "text": text} if text else {"coding": list(codings)}


def codings_of(value: Any) -> list[dict[str, Any]]:
    """The codings of a CodeableConcept, as far as it is one."""
    found = value.get("coding") if isinstance(value, dict) else None
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


class Codes:
    """Our terms and their codes, in the order in which the docs show them. The first coding of a term is the one we stand by."""

    def __init__(self, name: str, rows: Mapping[Any, list[Coding] | Coding], *, texts: Mapping[Any, str] | None = None):
        self.name = name
        self._codings: dict[Term, list[Coding]] = {t: r if isinstance(r, list) else [r] for t, r in rows.items()}
        self._concepts = {t: concept(*c, text=(texts or {}).get(t)) for t, c in self._codings.items()}
        self._terms: dict[tuple[Any, Any], Term] = {}
        self._terms_by_code: dict[str, Term] = {}
        for term, codings in self._codings.items():
            for one in codings:
                if self._terms.setdefault((one.get("system"), one["code"]), term) != term:
                    raise ValueError(f"{name}: two terms share {one}")
            if self._terms_by_code.setdefault(codings[0]["code"], term) != term:
                raise ValueError(f"{name}: two terms share the code {codings[0]['code']}")

    def __iter__(self) -> Iterator[Term]:
        return iter(self._codings)

    def __contains__(self, term: object) -> bool:
        return term in self._codings

    def __len__(self) -> int:
        return len(self._codings)

    @property
    def systems(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(c["system"] for codings in self._codings.values() for c in codings))

    def coding(self, term: Any) -> Coding:
        return self._codings[term][0]

    def codings(self, term: Any) -> list[Coding]:
        return self._codings[term]

    def concept(self, term: Any) -> dict[str, Any]:
        """The CodeableConcept of a term; the same object each time, so it is not to be changed."""
        return self._concepts[term]

    def code(self, term: Any) -> str:
        return self._codings[term][0]["code"]

    def term_of_code(self, code: Any) -> Term:
        """Our term for a bare code, as a `code` element has it. Raises ValueError."""
        if not isinstance(code, str) or code not in self._terms_by_code:
            raise ValueError(f"no code of {self.name} that we know: {code!r}")
        return self._terms_by_code[code]

    def term_of_coding(self, coded: Any) -> Term:
        """Our term for a Coding. Raises ValueError."""
        found = self._term(coded) if isinstance(coded, dict) else None
        if found is None:
            raise ValueError(f"no code of {self.name} that we know: {_shown(coded)}")
        return found

    def term_of_concept(self, value: Any) -> Term:
        """Our term for a CodeableConcept: all of its codings that we know have to agree. Raises ValueError."""
        codings = codings_of(value)
        known = {self._term(one) for one in codings} - {None}
        if len(known) != 1:
            problem = f"codes of {self.name} that contradict each other" if known else f"no code of {self.name} that we know"
            raise ValueError(f"{problem}: {'; '.join(_shown(c) for c in codings)}")
        return known.pop()  # type: ignore[return-value]

    def _term(self, coded: dict[str, Any]) -> Term | None:
        system, code = coded.get("system"), coded.get("code")
        return self._terms.get((system, code)) if isinstance(code, str) and isinstance(system, str | None) else None


def _shown(coded: Any) -> str:
    return f"{coded.get('system')}|{coded.get('code')}" if isinstance(coded, dict) else repr(coded)


def table(system: str, rows: Mapping[Any, tuple[str, str] | str], *, name: str | None = None) -> Codes:
    """Terms with codes of one published system: (code, display), or a display for a code that is the term itself."""
    return Codes(
        name or system.rsplit("/", 1)[-1],
        {t: coding(system, *row) if isinstance(row, tuple) else coding(system, t, row) for t, row in rows.items()},
    )


OWN: dict[str, tuple[str, dict[str, str]]] = {}  # name of a code system of ours -> (title, code -> display)


def own_system(name: str) -> str:
    return f"{OURS}/CodeSystem/{name}"


def own(name: str, title: str, rows: Mapping[str, str], also: Mapping[str, list[Coding]] | None = None) -> Codes:
    """Terms with codes of our own CodeSystem, for what has no public code that we could verify.

    `also` gives the public codings of a term. They come first: what a receiver knows is what we stand by.
    """
    OWN[name] = (title, dict(rows))
    system, public = own_system(name), also or {}
    return Codes(
        name,
        {t: [*public.get(t, []), coding(system, t, display)] for t, display in rows.items()},
        texts={t: display for t, display in rows.items() if t in public},
    )
