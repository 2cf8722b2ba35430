"""An identity provider for tests: keys, the file with their public halves, and tokens signed with them."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://login.example", "crossrec"
KEYS: dict[str, Any] = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
_KINDS: dict[str, Any] = {"ES256": ECAlgorithm, "RS256": RSAAlgorithm, "EdDSA": OKPAlgorithm}


def public_key(algorithm: str, **more: Any) -> dict[str, Any]:
    """A key as a JSON Web Key Set has it; its id is the algorithm."""
    found = _KINDS[algorithm].to_jwk(KEYS[algorithm].public_key(), as_dict=True)
    return {**found, "kid": algorithm, **more}


def key_set(*algorithms: str) -> str:
    return json.dumps({"keys": [public_key(algorithm) for algorithm in algorithms or KEYS]})


def write_keys(path: Path, *algorithms: str) -> Path:
    path.write_text(key_set(*algorithms))
    return path


def claims(scope: str = "rank", expires_in_s: float = 600.0, **changes: Any) -> dict[str, Any]:
    """Claims of a valid token; a change to None leaves the claim out."""
    data = {"iss": ISSUER, "aud": AUDIENCE, "sub": "shop", "scope": scope, "exp": time.time() + expires_in_s, **changes}
    return {name: value for name, value in data.items() if value is not None}


def sign_token(content: dict[str, Any] | None = None, algorithm: str = "ES256", **headers: Any) -> str:
    header = {"kid": algorithm, **headers}
    return jwt.encode(claims() if content is None else content, KEYS[algorithm], algorithm, header)
