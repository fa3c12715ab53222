"""How an EHR wants to be called: its media type, what it is to answer to a write, and headers of its own by template. Pure.

{request_id}      a UUID that a write keeps for every attempt of its delivery, so that an EHR knows it again (NHS: X-Request-ID)
{correlation_id}  a UUID of its own for every call
{organisation}    the EHR's organisation, as it was added
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from uuid import UUID, uuid4, uuid5

FHIR_JSON = "application/fhir+json"
ANSWERS = ("representation", "minimal", "OperationOutcome", "none")  # what `Prefer: return=` may ask for; none: no such header
PLACEHOLDERS = ("request_id", "correlation_id", "organisation")
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
VALUE = re.compile(r"[\x20-\x7e]{0,1000}")
MEDIA_TYPE = re.compile(r"application/[a-z0-9.+-]*json[a-z0-9.+-]*(; ?[A-Za-z]+=[A-Za-z0-9./:-]+){0,3}")
PLACE = re.compile(r"\{([^{}]*)\}")
# What we say ourselves, or what would say something about the connection.
OURS = re.compile(
    r"authorization|host|content-.*|if-.*|accept.*|prefer|user-agent|cache-control|cookie|connection|keep-alive|transfer-encoding|te|trailer|upgrade|expect|proxy-.*",
    re.IGNORECASE,
)
CONDITIONS = ("If-Match", "If-None-Exist")
NO_NAMESPACE = UUID(int=0)


@dataclass(frozen=True)
class Manner:
    """How one EHR is called. `namespace` keeps others from telling what a request id is made of."""

    media_type: str = FHIR_JSON
    answer: str = ANSWERS[0]
    templates: Mapping[str, str] = field(default_factory=dict, repr=False)  # a gateway's key may be among them
    organisation: str = ""
    namespace: UUID = NO_NAMESPACE

    def headers(self, method: str, path: str, body: bytes | None, conditions: Mapping[str, str], delivery: int) -> dict[str, str]:
        """The headers of a call, but for those that let us in and the conditions. `delivery` is 0 for what belongs to none."""
        written = {"Content-Type": self.media_type, **({"Prefer": f"return={self.answer}"} if self.answer != "none" else {})} if body is not None else {}
        fill: dict[str, Callable[[], str]] = {
            "request_id": lambda: str(self._request_id(method, path, body, conditions, delivery)),
            "correlation_id": lambda: str(uuid4()),
            "organisation": lambda: self.organisation,
        }
        own = {name: PLACE.sub(lambda found: fill[found[1]](), template) for name, template in self.templates.items()}
        return {"Accept": self.media_type, **written, **own}

    def _request_id(self, method: str, path: str, body: bytes | None, conditions: Mapping[str, str], delivery: int) -> UUID:
        """The same for the same write of the same delivery, and for nothing else: an EHR answers what it has seen with what it said then.

        So what is written otherwise, or on another version, is another request; and what is read is one each time.
        """
        if method == "GET" or not delivery:
            return uuid4()
        said = [str(delivery), method, path, *(conditions.get(name, "") for name in CONDITIONS), sha256(body or b"").hexdigest()]
        return uuid5(self.namespace, "\n".join(said))


def problems(media_type: str, answer: str, templates: Iterable[tuple[str, str]], organisation: str | None) -> list[tuple[str, str]]:
    """What is wrong with the manner of an EHR that is to be added, every problem by its path."""
    found = [] if MEDIA_TYPE.fullmatch(media_type) else [("/mediaType", "should be a media type of JSON, such as application/fhir+json")]
    if answer not in ANSWERS:
        found.append(("/prefer", f"should be one of {', '.join(ANSWERS)}"))
    given = list(templates)
    names = [name.lower() for name, _ in given]
    for name, template in given:
        wrong = _wrong(name, template, organisation) or ("is given more than once" if names.count(name.lower()) > 1 else "")
        if wrong:
            found.append((f"/headers/{name[:100]}", wrong))
    return found


def _wrong(name: str, template: str, organisation: str | None) -> str:
    if not NAME.fullmatch(name):
        return "is no name of a header"
    if OURS.fullmatch(name):
        return "is a header that is ours to set"
    if not VALUE.fullmatch(template) or template != template.strip():
        return "should be printable ASCII, without spaces at its ends"
    unknown = sorted({place for place in PLACE.findall(template) if place not in PLACEHOLDERS})
    if unknown or re.search(r"[{}]", PLACE.sub("", template)):
        return f"takes {', '.join(f'{{{place}}}' for place in PLACEHOLDERS)} in braces, and nothing else"
    if "{organisation}" in template and not organisation:
        return "names the organisation, and none is given"
    return ""
