"""A FHIR client with no opinions, for talking to the sandbox over HTTP."""

from typing import Any
from urllib.parse import quote, urlencode
from uuid import uuid4

import requests

Fhir = dict[str, Any]
JSON = {"Content-Type": "application/fhir+json"}


class Client:
    def __init__(self, session: requests.Session, base: str) -> None:
        self.session, self.base = session, base

    def get(self, path: str, **headers: str) -> requests.Response:
        return self._send("GET", path, None, headers)

    def post(self, path: str, body: Any, **headers: str) -> requests.Response:
        return self._send("POST", path, body, headers)

    def put(self, path: str, body: Any, **headers: str) -> requests.Response:
        return self._send("PUT", path, body, headers)

    def patch(self, path: str, body: Any, **headers: str) -> requests.Response:
        return self._send("PATCH", path, body, {"Content-Type": "application/json-patch+json", **headers})

    def delete(self, path: str, **headers: str) -> requests.Response:
        return self._send("DELETE", path, None, headers)

    def create(self, resource: Fhir, **headers: str) -> Fhir:
        answer = self.post(resource["resourceType"], resource, **headers)
        assert answer.status_code == 201, answer.text
        return answer.json() if answer.content else self.get(answer.headers["Location"]).json()

    def update(self, resource: Fhir, **headers: str) -> Fhir:
        answer = self.put(name(resource), resource, **headers)
        assert answer.status_code == 200, answer.text
        return answer.json() if answer.content else self.get(name(resource)).json()

    def search(self, kind: str, *criteria: tuple[str, str], **more: str) -> Fhir:
        answer = self.get(f"{kind}?{urlencode([*criteria, *more.items()], quote_via=quote)}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def found(self, kind: str, *criteria: tuple[str, str], **more: str) -> set[str]:
        return {entry["resource"]["id"] for entry in self.search(kind, *criteria, **more).get("entry", [])}

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> requests.Response:
        """A header `If_Match` is sent as `If-Match`; a path with a scheme is sent to as it is. Some EHRs need a request to have an id."""
        url = path if path.startswith("http") else f"{self.base}/{path}"
        named = {"X-Request-ID": str(uuid4())} | {key.replace("_", "-"): value for key, value in headers.items()}
        if isinstance(body, str | bytes):
            return self.session.request(method, url, data=body, headers={**JSON, **named})
        return self.session.request(method, url, json=body, headers={**JSON, **named} if body is not None else named)


def name(resource: Fhir) -> str:
    return f"{resource['resourceType']}/{resource['id']}"


def reference(resource: Fhir) -> Fhir:
    return {"reference": name(resource)}


def link(bundle: Fhir, relation: str) -> str | None:
    return next((one["url"] for one in bundle["link"] if one["relation"] == relation), None)


def issues(answer: requests.Response) -> list[tuple[str, str | None]]:
    """(code, expression) of every issue of an OperationOutcome; fails for an answer that is none."""
    assert answer.headers["Content-Type"] in ("application/fhir+json; charset=utf-8", "application/json+fhir; charset=utf-8")
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert all(issue["severity"] in ("error", "fatal") and issue["diagnostics"] for issue in outcome["issue"])
    return [(issue["code"], *issue.get("expression", [None])) for issue in outcome["issue"]]
