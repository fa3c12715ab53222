"""What can go wrong with an EHR, on demand: faults that are set, counted and taken away while it runs.

    curl -d '{"fault": "status", "status": 429, "retryAfter": "2", "type": "Observation", "times": 3}' localhost:8001/_sandbox/faults
    curl -d '[{"fault": "latency", "seconds": 1, "share": 0.5, "seed": 1}, {"fault": "reset", "when": "after", "method": "POST"}]' ...
    curl localhost:8001/_sandbox/faults                    # what is set, and how often each has happened
    curl -X DELETE localhost:8001/_sandbox/faults/1        # one; without /1 all of them

Every fault says which requests it is about: `persona`, `method`, `type` (the resource type, also of searches; a Bundle at the base and the
token endpoint have none), `path` (a regular expression, looked for in path and query); and how often: `times` (it then stays in the list
with nothing `left`), `share` (from 0 to 1, with `seed` the same requests each time), or always. Several may meet one request: the first
that was set is the outermost.
"""

import re

from sandbox.faults import requests, searches
from sandbox.faults.fault import Kind
from sandbox.options import FLAG, HEADER, NAMES, OBJECT, Option, number, one_of, whole

SECONDS = number("a number of seconds", 0, 600)
WHEN = {"when": one_of("before", "after").or_else("before")}
ORIGIN = Option("an origin such as http://127.0.0.1:9", lambda value: isinstance(value, str) and value.startswith(("http://", "https://")))
HEADERS = Option(
    "an object of headers",
    lambda value: isinstance(value, dict) and all(re.fullmatch("[A-Za-z0-9-]+", name) and HEADER.holds(text) for name, text in value.items()),
)
BODY = Option("a text or an object", lambda value: isinstance(value, str | dict))

KINDS: dict[str, Kind] = {
    "latency": Kind("every answer comes `seconds` later", requests.latency, {"seconds": SECONDS.always()}),
    "status": Kind(
        "`status` is answered, with `retryAfter`, `headers`, `body` and `contentType`; with `after` only once it was carried out",
        requests.status,
        {"status": whole("a status", 200, 599).always(), "retryAfter": HEADER, "body": BODY, "contentType": HEADER, "headers": HEADERS, "after": FLAG},
    ),
    "reset": Kind("the connection is reset, `when` it was carried out (after) or before", requests.cut_off, WHEN),
    "half": Kind("the head promises a body of which half comes", requests.halved),
    "drip": Kind(
        "a byte of the `part`, head or body, comes every `seconds`",
        requests.drip,
        {"seconds": SECONDS.or_else(1), "part": one_of("head", "body").or_else("body")},
    ),
    "hang": Kind("nothing comes for `seconds`, then the end; it was carried out or not as `when` says", requests.hang, {"seconds": SECONDS.always(), **WHEN}),
    "empty": Kind("a write that succeeds is answered by an empty text/html", requests.empty),
    "stale": Kind(
        "an If-Match is refused by `status`; or `really` stale: `change` is merged into the resource first",
        requests.stale,
        {"status": one_of(409, 412).or_else(412), "really": FLAG, "change": OBJECT},
    ),
    "duplicates": Kind("every match comes twice, with `otherId` the second time under another id", searches.duplicates, {"otherId": FLAG}),
    "wrong-total": Kind("the total is `total`, or one too many", searches.wrong_total, {"total": whole("a number", 0, 1_000_000)}),
    "lost-page": Kind("a page that is not the first has no entries, or is answered `status`", searches.lost_page, {"status": one_of(404, 410)}),
    "error-in-200": Kind(
        "200 with an OperationOutcome of an error, of what was not carried out or was (`after`); or as an `entry` in place of the last match",
        searches.error_in_200,
        {"entry": FLAG, "after": FLAG},
    ),
    "foreign-next": Kind("the next page is at `origin`, also where there is none", searches.foreign_next, {"origin": ORIGIN.always()}),
    "relative-next": Kind("the link to the next page is relative", searches.relative_next),
    "loop": Kind("the next page is this one", searches.loop),
    "self": Kind(
        "`self` does not repeat what was searched for, or of that `parameters`; with `really` it is not searched for either",
        searches.self_link,
        {"parameters": NAMES, "really": FLAG},
    ),
}
