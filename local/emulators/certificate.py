"""A certificate for TLS on this machine: of its own making, and clients are told to trust it."""

import ipaddress
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

_LIFE: Final = timedelta(days=3650)
_NAMES: Final = (
    x509.DNSName("localhost"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.IPAddress(ipaddress.ip_address("::1")),
)


def server_context(certificate: Path) -> ssl.SSLContext:
    """TLS with the certificate and key in a PEM file; the file is made for localhost if it is not there.

    Raises:
        ValueError: the file cannot be used.
    """
    try:
        if not certificate.exists():
            make_certificate(certificate)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
    except OSError as error:  # also what OpenSSL says of a file without a key or certificate
        raise ValueError(
            f"{certificate} cannot be used ({error}). Name a PEM file with a certificate and its key, or a file that "
            "is not there: it is then made."
        ) from error
    return context


def make_certificate(path: Path) -> None:
    """Write a key and a certificate that it signs itself into one PEM file, readable by nobody else.

    Raises:
        OSError: the file is there, or cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(_NAMES), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    text += certificate.public_bytes(Encoding.PEM)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
