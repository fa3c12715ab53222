"""Sync: what each EHR is owed is sent, stream by stream, in the order of references, and its outcome settled.

Read `deliver.py` for what is sent and how an answer is judged (pure), `abilities.py` for what an EHR says that it takes (pure),
`retry.py` for when it is tried again (pure), `worker.py` for the loop, and `targets/` for the only place that knows one EHR from another.
"""
