"""A private authority, and what it vouches for."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The gateway's own: certificate chain and key, as an operator keeps them."""
    directory = tmp_path_factory.mktemp("gateway")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = directory / "cert.pem", directory / "key.pem"
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(str(chain), append=number > 0)
    issued.private_key_pem.write_to_path(str(key))
    return chain, key


@pytest.fixture
def trusting(ca_file: Path) -> ssl.SSLContext:
    """What a client of the gateway trusts; it is the test's own, since clients set its ALPN."""
    return ssl.create_default_context(cafile=str(ca_file))


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return a provider's context, for a certificate with those names."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    return context
