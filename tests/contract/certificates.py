"""A test's certificate authority: it signs certificates for servers on the loopback interface and for clients."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Into two files, each replaced at once."""
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            draft = path.with_name(path.name + ".new")
            draft.write_bytes(content)
            draft.replace(path)
        return paths


class Authority:
    """Signs certificates that are valid for a day."""

    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = self._build(self._name, self._key).add_extension(constraints, critical=True)
        self._signed = self._certificate.sign(self._key, hashes.SHA256())
        self.pem = self._signed.public_bytes(Encoding.PEM)

    def sign(self, name: str, host: str = "localhost") -> Pair:
        """A certificate of that name, good for 127.0.0.1 and the host."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        here = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(host)]
        built = self._build(subject, key).add_extension(x509.SubjectAlternativeName(here), critical=False)
        certificate = built.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)
        return Pair(certificate, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now, builder = datetime.now(UTC), x509.CertificateBuilder(issuer_name=self._name, subject_name=subject)
        numbered = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return numbered.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))
