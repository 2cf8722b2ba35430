"""Certificates of a test's authority in files, for clients that take paths."""

from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.contract.certificates import Authority


@dataclass(frozen=True)
class Signed:
    """PEM files of a certificate and its key."""

    certificate: Path
    key: Path


class AuthorityInFiles:
    """An authority that writes its certificates to a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._authority = folder, Authority(f"authority {folder.name}")
        self.file = folder / "ca.pem"
        self.file.write_bytes(self._authority.pem)

    def sign(self, name: str) -> Signed:
        """A certificate for `name`, good for servers on localhost."""
        return Signed(*self._authority.sign(name).write(self._folder, name))

    def server_credentials(self, *, mutual: bool = False) -> grpc.ServerCredentials:
        """Of a server that, if `mutual`, takes only clients with a certificate of this authority."""
        pair = self._authority.sign("server")
        return grpc.ssl_server_credentials(
            [(pair.key, pair.certificate)], self._authority.pem if mutual else None, mutual
        )
