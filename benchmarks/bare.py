"""A Flask route that does nothing but answer, with as many bytes as a resource has: what a read is compared with."""

from flask import Flask, Response

app = Flask("bare")
BODY = b'{"resourceType":"Observation"}'.ljust(1300)


@app.route("/fhir/r4/<type>/<id>")
def read(type: str, id: str) -> Response:
    return Response(BODY, 200, content_type="application/fhir+json")
