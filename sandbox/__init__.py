"""A small true FHIR R4 server that stands for an external EHR in demos and tests.

It knows nothing of pathway-fhir: what is learnt against it was learnt over HTTP. Read `rest.py` first (which interaction a request
means) and `interactions.py` (what it does), then `personas/` (in what the EHRs differ), `faults/` (what can go wrong), `records.py`
(what an EHR holds) and `app.py` (where it is wired).
"""
