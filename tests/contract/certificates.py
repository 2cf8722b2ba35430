"""Certificates for a test: an authority, and what it signs for servers on this machine and for clients."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

BEGIN = datetime.now(UTC) - timedelta(hours=1)


@dataclass(frozen=True)
class Signed:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates, and writes them into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority {folder.name}")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.file = self._write("ca.pem", _builder(self._name, self._name, self._key, basic).sign(self._key, SHA256()))

    def sign(self, name: str) -> Signed:
        """A certificate for `name`, good for servers on localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(subject, self._name, key, x509.BasicConstraints(ca=False, path_length=None))
        hosts = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        path = self._folder / f"{name}.key"
        path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return Signed(self._write(f"{name}.pem", builder.sign(self._key, SHA256())), path)

    def server_credentials(self, *, mutual: bool = False) -> grpc.ServerCredentials:
        """Of a server that, if `mutual`, takes only clients with a certificate of this authority."""
        signed = self.sign("server")
        pair = (signed.key.read_bytes(), signed.certificate.read_bytes())
        return grpc.ssl_server_credentials([pair], self.file.read_bytes() if mutual else None, mutual)

    def _write(self, name: str, certificate: x509.Certificate) -> Path:
        path = self._folder / name
        path.write_bytes(certificate.public_bytes(Encoding.PEM))
        return path


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, basic: x509.BasicConstraints
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + timedelta(days=2))
        .add_extension(basic, critical=True)
    )
