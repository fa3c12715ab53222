"""Certificates for TLS, made as they are needed: an authority, and who it vouches for."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.sync.scripted import Script, Scripted, scripted


@dataclass
class Issuer:
    """Signs certificates, and keeps them as PEM files in a directory."""

    directory: Path
    name: str

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = named(self.name)
        self.ca = self._kept(f"{self.name}.pem", self._signed(self._subject, self._key.public_key(), ca=True).public_bytes(Encoding.PEM))

    def issue(self, name: str, *, days: int = 1, passphrase: bytes | None = None) -> tuple[Path, Path]:
        """A certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        hidden = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        cert = self._signed(named(name), key.public_key(), days=days).public_bytes(Encoding.PEM)
        return self._kept(f"{name}.crt", cert), self._kept(f"{name}.key", key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, hidden))

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, ca: bool = False, days: int = 1) -> x509.Certificate:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(self._subject).public_key(key).serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=2)).not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )  # fmt: skip
        return made.sign(self._key, SHA256())

    def _kept(self, name: str, content: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


@contextmanager
def over_tls(script: Script, cert: Path, key: Path, *, clients: Path | None = None) -> Iterator[Scripted]:
    """A scripted EHR behind TLS, which asks for a certificate of `clients` where they are given."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    with scripted(script, tls=context) as ehr:
        yield ehr
