"""An EHR that pulls: a token by private_key_jwt (SMART Backend Services), then a patient's visits with all that hangs on them.

    python examples/clients/ehr.py --client demo-ehr --key var/demo/ehr-key.json --nhs-number 9434765919
"""

import argparse
import json
import time
import uuid
from collections import Counter
from pathlib import Path

import requests
from joserfc import jwt
from joserfc.jwk import ECKey


def token(base: str, client: str, key_file: Path) -> str:
    """An access token for the scopes that the client was registered with."""
    configuration = requests.get(f"{base}/fhir/r4/.well-known/smart-configuration", timeout=10).json()
    endpoint = configuration["token_endpoint"]
    key = ECKey.import_key(json.loads(key_file.read_text()))
    claims = {"iss": client, "sub": client, "aud": endpoint, "exp": int(time.time()) + 240, "jti": str(uuid.uuid4())}
    assertion = jwt.encode({"alg": "ES384", "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=["ES384"])
    answer = requests.post(endpoint, timeout=10, data={
        "grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion": assertion,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    })  # fmt: skip
    answer.raise_for_status()
    return answer.json()["access_token"]


def pull(base: str, bearer: str, nhs_number: str) -> None:
    """Prints the patient's visits, the newest first, and what hangs on each."""
    session = requests.Session()
    session.headers.update({"Authorization": f"Bearer {bearer}", "Accept": "application/fhir+json"})
    url = f"{base}/fhir/r4/Encounter?patient.identifier=https://fhir.nhs.uk/Id/nhs-number|{nhs_number}&_sort=-date&_count=10"
    while url:
        page = session.get(url, timeout=10)
        page.raise_for_status()
        for entry in page.json().get("entry", []):
            visit = entry["resource"]
            everything = session.get(f"{base}/fhir/r4/Encounter/{visit['id']}/$everything", timeout=10).json()["entry"]
            counted = Counter(one["resource"]["resourceType"] for one in everything)
            kind = visit.get("type", [{}])[0].get("text", "Visit")
            start = visit.get("period", {}).get("start", "")
            print(f"{start[:16]:<16}  {visit['status']:<11}  {kind:<26}  " + ", ".join(f"{n} {type_}" for type_, n in counted.most_common()))
        url = next((link["url"] for link in page.json()["link"] if link["relation"] == "next"), None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="http://127.0.0.1:8000")
    parser.add_argument("--client", required=True)
    parser.add_argument("--key", type=Path, required=True, help="the private key, a JWK")
    parser.add_argument("--nhs-number", required=True)
    given = parser.parse_args()
    pull(given.base, token(given.base, given.client, given.key), given.nhs_number)
