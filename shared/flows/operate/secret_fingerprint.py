"""Recognising a secret that cannot be read back, by a salted slow hash that may be shown.

Dataverse never gives a webhook's secret back, so its fingerprint is stored beside it: without it nobody could tell
whether the registration still carries the secret that the functions expect.
"""

import hashlib
import hmac
import os
from typing import Final

# https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#scrypt
_N: Final = 2**14
_SALT_BYTES: Final = 9
_HASH_BYTES: Final = 12
_VERSION: Final = "s1"


def fingerprint(secret: str, salt: bytes | None = None) -> str:
    """Make `s1.SALT.HASH`, in hex; a new salt each time unless one is given."""
    salt = salt or os.urandom(_SALT_BYTES)
    found = hashlib.scrypt(secret.encode(), salt=salt, n=_N, r=8, p=1, maxmem=2**25, dklen=_HASH_BYTES)
    return f"{_VERSION}.{salt.hex()}.{found.hex()}"


def is_of(text: str, secret: str) -> bool:
    """Whether a fingerprint is this secret's; one that cannot be read is nobody's."""
    version, _, rest = text.partition(".")
    try:
        salt = bytes.fromhex(rest.partition(".")[0])
    except ValueError:
        return False
    return version == _VERSION and bool(salt) and hmac.compare_digest(fingerprint(secret, salt), text)
