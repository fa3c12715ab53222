"""What there is beside FHIR, for whoever tries something against these EHRs by hand. Loopback only, made-up records only.

| to | do |
| --- | --- |
| let an EHR fail | `faults/__init__.py` says what can go wrong, and how it is set |
| ask for tokens as an EHR with SMART Backend Services does | `smart.py` |
| put people, places and records into an EHR whatever its rules | `seeding.py` |
| ask for headers, or refuse writes | `settings.py` |
| change a record as a clinician of that EHR would | `curl -X PATCH -d '{"status": "amended"}' localhost:8001/_sandbox/records/epic/Observation/ID` |
| see what was asked and what is held | `curl localhost:8001/_sandbox/log?limit=5`, `curl localhost:8001/_sandbox/counts` |
| do any of it in a browser, each fault with an example | http://localhost:8001/docs |
| keep all that an EHR holds, and put it back | `keeping.py` |
| begin anew | `curl -X DELETE localhost:8001/_sandbox` |
"""

BESIDES_FHIR: tuple[tuple[str, str, str], ...] = (
    ("GET", "/", "an index page for people"),
    ("GET", "/docs", "all of these with a form each, and an example of every fault"),
    ("GET", "/_sandbox/counts", "by EHR and type: how many resources now, how many versions ever"),
    ("GET", "/_sandbox/log?limit=100", "the last requests, the newest first, without their bodies"),
    ("DELETE", "/_sandbox", "everything as it was at the start: no records, log, faults or tokens"),
    ("GET POST DELETE", "/_sandbox/faults", "what goes wrong from now on, how often it has, and the end of all of it"),
    ("DELETE", "/_sandbox/faults/ID", "the end of one fault"),
    ("GET POST PUT PATCH DELETE", "/_sandbox/records/EHR/TYPE[/ID]", "what the EHR's own users do, in every type; a PATCH is merged"),
    ("POST", "/_sandbox/EHR/seed", "resources that are simply there, with their ids, whatever the rules"),
    ("GET PUT", "/_sandbox/EHR/versions", "all that it ever held, to be kept and put back as it was"),
    ("GET PUT", "/_sandbox/EHR/settings", "headers that every request needs, and whether it takes writes"),
    ("GET PUT PATCH DELETE", "/_sandbox/EHR/smart", "clients of SMART Backend Services, what they are told, and what was issued"),
    ("DELETE", "/_sandbox/EHR/tokens", "all tokens that were issued are revoked"),
)
"""Methods, path, what it does."""
