"""EHRs, one from another: the only place that knows a vendor's oddities. What all of them share is `rest.py`."""
