"""What goes with a call besides its body: parts of the path, parameters of the query, headers; and the headers of answers."""

from collections.abc import Sequence
from typing import Any

from mappings.search import COMMON, PARAMETERS, Parameter
from service import operating
from service.openapi.schemas import MOMENT, Schema, number, text
from service.store import conflicts
from service.store.outbox import STATES


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/parameters/{name}"}


def in_path(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def in_query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def in_header(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "header", "schema": schema}


KEY = in_path("id", text("The clinic's own key of the record.", pattern="^[A-Za-z0-9][A-Za-z0-9._:~-]{0,63}$"))
ITEM = in_path("item", text("The item's id, unique in its record.", pattern="^[A-Za-z0-9][A-Za-z0-9._:~-]{0,63}$"))
NUMBER = in_path("number", number("The delivery's number.", minimum=1))
CONFLICT = in_path("number", number("The conflict's number.", minimum=1))
ATTEMPT = in_path("attempt", number("The attempt's number, from 1.", minimum=1))
NAME = in_path("name", text("The EHR's name.", pattern="^[a-z0-9][a-z0-9-]{0,39}$"))
LINKED = in_path("type", text("What it is.", enum=list(operating.LINKED)))
KIND = in_path("kind", text("The name of a kind, in the singular."))
RESOURCE_ID = in_path("id", text("The id of the resource.", format="uuid"))
VERSION = in_path("version", text("The versionId of the resource.", pattern="^[A-Za-z0-9]{1,64}$"))

IF_MATCH = in_header("If-Match", text("The version that you last read: any other is 412."))
IF_NONE_MATCH = in_header("If-None-Match", text("The version that you have: if it is still the one that is there, the answer is 304 without a body."))
IF_NEW = in_header("If-None-Match", {"const": "*", "description": "Only if there is none yet: else 412."})
IDEMPOTENCY_KEY = in_header("Idempotency-Key", text(
    "Your own name for this request: sent again with the same name within a day, it is answered again and not done again.",
    pattern="^[!-~]{1,200}$",
))  # fmt: skip
PREFER = in_header("Prefer", text(
    "handling=lenient has parameters that are not understood dropped, and says which.", enum=["handling=lenient", "handling=strict"],
))  # fmt: skip
IF_MODIFIED_SINCE = in_header("If-Modified-Since", text("An HTTP date: if nothing has changed since then, the answer is 304 without a body."))

LIST = (
    in_query("changedSince", MOMENT | {"description": "Only what changed at or after this time."}),
    in_query("limit", number("The most records of a page.", minimum=1, maximum=500)),
    in_query("after", text("Where the page begins: from the link of the page before it.")),
)
PATIENT = in_query("patient", text("Only what is about this patient, by the clinic's own key."))
ONE_TYPE = f"({'|'.join(sorted(PARAMETERS))})"
BEFORE = in_query("before", number("Only those with a smaller number: for the next page.", minimum=1, maximum=2**53))


def states_of(known: Sequence[str]) -> Schema:
    one = f"({'|'.join(known)})"
    return in_query("state", text(f"Only those in one of these states, parted by commas: {', '.join(known)}.", pattern=f"^{one}(,{one})*$"))


CHOSEN = (
    in_query("ehr", text("Only those to this EHR.")),
    states_of(STATES),
    in_query("type", text("Only those of this FHIR type.")),
    PATIENT,
    in_query("reason", text("Only those whose reason has these words.")),
    in_query("olderThan", text("Only those that are owed for longer than this, such as 90s, 10m, 2h or 3d.", pattern="^[0-9]{1,6}[smhd]$")),
)
CHANGED = (*CHOSEN, in_query("limit", number("The most deliveries that are changed.", minimum=1, maximum=500)))
DELIVERIES = (*CHOSEN, BEFORE, in_query("limit", number("The most deliveries of a page.", minimum=1, maximum=500)))
CONFLICTS = (
    in_query("ehr", text("Only those with this EHR.")), states_of(conflicts.STATES), in_query("type", text("Only those about this FHIR type.")), PATIENT,
    BEFORE, in_query("limit", number("The most conflicts of a page.", minimum=1, maximum=500)),
)
PULLED = in_query("type", text("Only these types, parted by commas.", pattern=f"^{ONE_TYPE}(,{ONE_TYPE})*$"))
VIEW = in_query("view", text("The level of the reader whose view is wanted.", enum=["C0", "C1", "C2", "C3"], default="C3"))

# What every search takes, as R4 3.1.1.4 and 3.1.1.5 have it
RESULT = {
    "_count": number("The most matches of a page; 0 for the number alone.", minimum=0, maximum=1_000_000),
    "_include": text("What the matches refer to, as Type:parameter or Type:parameter:Target."),
    "_revinclude": text("What refers to the matches, as Type:parameter."),
    "_summary": text("count for the number alone.", enum=["count", "false"]),
    "_total": text("Whether the number of all matches is told.", enum=["none", "estimate", "accurate"]),
    "_elements": text("Only these elements, parted by commas, and those that FHIR requires."),
    "_page": text("Where the page begins: from the link of the page before it."),
}
FORMAT = {
    "_format": text("JSON is what is offered.", enum=["json", "application/json", "application/fhir+json"]),
    "_pretty": text("With line breaks.", enum=["true", "false"]),
}
SAYS = {
    "token": "code, system|code or |code", "reference": "Type/id or id", "date": "a date or time, perhaps with a prefix such as ge",
    "string": "the beginning of the text, in any case", "quantity": "number or number|system|code, perhaps with a prefix such as ge", "uri": "the whole URI",
}  # fmt: skip


def searched_by(type_: str) -> dict[str, Schema]:
    """The parameters of a search of a type, each with its schema."""
    own = {p.name: _searched(p) for p in (*COMMON.values(), *PARAMETERS[type_].values())}
    times = [p.name for p in (*COMMON.values(), *PARAMETERS[type_].values()) if p.type == "date"]
    return {**own, "_sort": text("A time that is sorted by; a minus has the latest first.", enum=[f"{way}{name}" for name in times for way in ("", "-")])}


def _searched(parameter: Parameter) -> Schema:
    targets = f" ({', '.join(parameter.targets)})" if parameter.targets else ""
    return text(f"{parameter.type.capitalize()}{targets}: {SAYS[parameter.type]}.")


HISTORY = ("_count", "_since", "_page", *FORMAT)
EVERYTHING = ("_count", "_since", "_type", "_page", *FORMAT)


def shared() -> dict[str, Schema]:
    """The parameters that many operations have."""
    more = {
        "_since": MOMENT | {"description": "Only what changed at or after this time."},
        "_type": text("Only these types, parted by commas."),
    }
    return {name: in_query(name, schema) for name, schema in {**RESULT, **FORMAT, **more}.items()}


# --- of answers

HEADERS: dict[str, dict[str, Any]] = {
    "ETag": {"description": "The version of what is answered.", "schema": {"type": "string"}},
    "Last-Modified": {"description": "When it last changed in your view.", "schema": {"type": "string"}},
    "Location": {"description": "Where the new record is.", "schema": {"type": "string", "format": "uri"}},
    "Link": {"description": "The next page, where there is one.", "schema": {"type": "string"}},
    "WWW-Authenticate": {"description": "What is needed (RFC 6750).", "schema": {"type": "string"}},
    "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "string"}},
    "X-Request-ID": {"description": "What to name when you ask us about this call: your own, or one of ours.", "schema": {"type": "string"}},
}
