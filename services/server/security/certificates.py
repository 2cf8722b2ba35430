"""TLS of the gRPC servers, with certificates that may be replaced while the servers run.

A new connection gets the newest valid certificate; open connections keep theirs.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from services.errors import ConfigurationError
from services.server.security.watched_files import WatchedFiles
from services.settings.section import read_file
from services.settings.security import SecuritySettings

Configuration = grpc.ServerCertificateConfiguration


def server_credentials(security: SecuritySettings) -> grpc.ServerCredentials | None:
    """The TLS credentials of a port; None: the settings have no certificate.

    Raises ConfigurationError naming the setting whose file cannot be used.
    """
    certificate, key, client_ca = security.certificate_file, security.key_file, security.client_ca_file
    if certificate is None or key is None:
        return None
    paths = [certificate, key, *([client_ca] if client_ca else [])]
    files = WatchedFiles("certificate", paths, lambda: _read(certificate, key, client_ca), check_interval_s=0.0)
    return grpc.dynamic_ssl_server_credentials(
        files.current(),
        _changed_configuration(files),  # type: ignore[arg-type]  # None means no change (gRPC's documentation)
        require_client_authentication=security.require_client_certificate,
    )


def _changed_configuration(files: WatchedFiles[Configuration]) -> Callable[[], Configuration | None]:
    """The callback that gRPC calls before every handshake: a changed configuration, else None."""
    lock, last = threading.Lock(), [files.current()]

    def changed() -> Configuration | None:
        with lock:
            now = files.current()
            if now is last[0]:
                return None
            last[0] = now
            return now

    return changed


def _read(certificate: Path, key: Path, client_ca: Path | None) -> Configuration:
    chain, private = read_file("security.certificate_file", certificate), read_file("security.key_file", key)
    first = _certificates("security.certificate_file", chain)[0]
    if _bytes(first.public_key()) != _bytes(_public_key(private)):
        raise ConfigurationError("security.key_file: is not the key of security.certificate_file")
    authorities = None
    if client_ca:
        authorities = read_file("security.client_ca_file", client_ca)
        _certificates("security.client_ca_file", authorities)
    return grpc.ssl_server_certificate_configuration([(private, chain)], root_certificates=authorities)


def _certificates(setting: str, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ConfigurationError(f"{setting}: holds no readable PEM certificate") from None


def _public_key(content: bytes) -> PublicKeyTypes:
    try:
        return load_pem_private_key(content, None).public_key()
    except TypeError:
        raise ConfigurationError("security.key_file: the key is encrypted; store it without a password") from None
    except ValueError:
        raise ConfigurationError("security.key_file: holds no readable PEM private key") from None


def _bytes(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
