"""What is asked of an EHR's registration before it is called: how it lets us in, how it wants to be called, our certificate, whom we trust.

Certificates and keys for TLS stay where the operator keeps them, and only their paths are here: they are renewed there, by other
hands, and every machine that sends needs them. What is typed in (a token, templates of headers) is sealed.
"""

import json
import re
from collections.abc import Collection
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from service import manners
from service.manners import ANSWERS, FHIR_JSON
from service.security.keys import ALGORITHMS
from service.security.secrets import open_sealed, seal
from service.store.targets import Target
from service.tenant import Tenant

Problems = list[tuple[str, str]]
SCOPES = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*")  # RFC 6749, 3.3
CLIENT = re.compile(r"[\x20-\x7e]{1,200}")


def problems(found: Target, *, files: bool = True) -> Problems:
    """Every problem of how an EHR is to be reached, by its path. Its headers are (name, template), not sealed yet."""
    s = found.settings
    manner = manners.problems(s.get("media_type", FHIR_JSON), s.get("prefer", ANSWERS[0]), s.get("headers") or (), found.organisation)
    return [*_of_auth(s.get("auth") or {}, private=bool(s.get("private"))), *manner, *(_of_files(s) if files else [])]


def sealed(tenant: Tenant, found: Target, token: str | None) -> dict[str, Any]:
    """The settings of an EHR as they are kept, with what is secret in them sealed."""
    settings = dict(found.settings)
    if token:
        settings["auth"] = {"type": "bearer", "token": seal(tenant, token, found.id)}
    if settings.get("headers"):
        settings["headers"] = seal(tenant, json.dumps(settings["headers"]), f"{found.id} headers")
    return settings


def headers(tenant: Tenant, found: Target) -> dict[str, str]:
    """The templates of headers of an EHR, opened."""
    kept = found.settings.get("headers")
    return dict(json.loads(open_sealed(tenant, kept, f"{found.id} headers"))) if kept else {}


def fits(url: str, *, private: bool) -> bool:
    """Whether something may be sent to a URL: https, or http where it is private or on this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None or parts.fragment or re.search(r"[\x00-\x20\x7f]", url):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and (private or loopback(host)))


def loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts: SplitResult = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or {'https': 443, 'http': 80}.get(parts.scheme, 0)}"


def everything(types: Collection[str] | None) -> str:
    """The scopes that an EHR is asked for where nobody said others: all of its types, or of all."""
    return " ".join(f"system/{one}.cruds" for one in types) if types else "system/*.cruds"


def place(url: str) -> str:
    """A base URL as it is compared: the case of scheme and host, the scheme's own port and slashes at the end make no other."""
    return origin(url) + urlsplit(url).path.rstrip("/")


def _of_auth(auth: dict[str, Any], *, private: bool) -> Problems:
    if auth.get("type") != "smart":
        return []
    found = []
    if not CLIENT.fullmatch(auth.get("client_id") or ""):
        found.append(("/clientId", "should be the id under which the EHR knows us"))
    if auth.get("alg") not in (None, *ALGORITHMS):
        found.append(("/alg", f"should be {' or '.join(ALGORITHMS)}"))
    if not SCOPES.fullmatch(auth.get("scope") or ""):
        found.append(("/scope", "should be scopes, parted by a space"))
    if auth.get("token_url") is not None and not fits(auth["token_url"], private=private):
        found.append(("/tokenUrl", "should be an https URL without credentials or fragment"))
    return found


def _of_files(settings: dict[str, Any]) -> Problems:
    """What is wrong with our certificate, its key, and the certificates of those whom we trust."""
    cert, key, trusted = settings.get("cert"), settings.get("key"), settings.get("ca")
    found: Problems = []
    ours = _certificates(cert, "/cert", found) if cert else []
    if ours:
        _held_against(ours[0], str(key or cert), "/key" if key else "/cert", found)
    elif key and not cert:
        found.append(("/cert", "should be given with its key"))
    if trusted:
        _certificates(trusted, "/ca", found)
    return found


def _certificates(path: str, pointer: str, found: Problems) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except OSError as error:
        found.append((pointer, f"cannot be read: {error.strerror}"))
    except ValueError:
        found.append((pointer, "holds no certificate in PEM"))
    return []


def _held_against(ours: x509.Certificate, path: str, pointer: str, found: Problems) -> None:
    """Our certificate against its key and the time."""
    if not ours.not_valid_before_utc <= datetime.now(UTC) <= ours.not_valid_after_utc:
        found.append(("/cert", f"is good from {ours.not_valid_before_utc:%Y-%m-%d} to {ours.not_valid_after_utc:%Y-%m-%d}"))
    try:
        key = load_pem_private_key(Path(path).read_bytes(), None)
    except OSError as error:
        found.append((pointer, f"cannot be read: {error.strerror}"))
    except TypeError:
        found.append((pointer, "has a passphrase: keep it without one, readable by the service alone"))
    except ValueError:
        found.append((pointer, "holds no private key in PEM"))
    else:
        spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*spki) != ours.public_key().public_bytes(*spki):
            found.append((pointer, "is not the key of the certificate"))
