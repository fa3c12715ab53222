"""A Flask route that does nothing but answer, with as many bytes as what is read: what a read is compared with.

Beside it is one that first asks the database for a 1, by its driver alone and prepared: what no read can do without.
"""

import os
import threading
from typing import Any

from flask import Flask, Response
from sqlalchemy import make_url

from service.store.database import sqlite_driver

app = Flask("bare")
BODY = b'{"resourceType":"Observation"}'.ljust(int(os.environ["BARE_BYTES"]))
_threads = threading.local()


@app.route("/fhir/r4/<type>/<id>")
def read(type: str, id: str) -> Response:
    return Response(BODY, 200, content_type="application/fhir+json")


@app.route("/asking/r4/<type>/<id>")
def asking(type: str, id: str) -> Response:
    ask = getattr(_threads, "ask", None) or _threads.__dict__.setdefault("ask", _asking(os.environ["BARE_DATABASE"]))
    ask()
    return Response(BODY, 200, content_type="application/fhir+json")


def _asking(url: str) -> Any:
    if url.startswith("sqlite"):
        lite = sqlite_driver().connect(make_url(url).database)
        return lambda: lite.execute("SELECT 1").fetchall()
    import psycopg

    _threads.kept = psycopg.connect(url, autocommit=True)
    asked = _threads.kept.pgconn
    asked.prepare(b"one", b"SELECT 1")
    return lambda: asked.exec_prepared(b"one", []).get_value(0, 0)
