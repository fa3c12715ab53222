"""A small true FHIR R4 server that stands for an external EHR in demos and tests.

It knows nothing of pathway-fhir: what is learnt against it was learnt over HTTP. Read `rest.py` first (what an interaction
does), then `personas/` (in what the EHRs differ), `records.py` (what it holds) and `app.py` (where it is wired).
"""
