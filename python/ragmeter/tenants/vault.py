"""Vault: encrypts what is stored. `cryptography` does the work (Fernet: AES-128-CBC with HMAC-SHA256)."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ragmeter.tenants.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Vault", "VaultError", "key_file"]

_VARIABLE = "RAGMETER_SECRET_KEY"
_FILE_VARIABLE = "RAGMETER_SECRET_KEY_FILE"
_RAW = 32


class VaultError(Exception):
    """A secret cannot be encrypted or read. The text never holds it."""


def key_file(ledger: str) -> Path:
    """Return where the key of a ledger is kept if the environment does not say: beside the file of a ledger in SQLite.

    Args:
        ledger: URL of the ledger.
    """
    if named := os.environ.get(_FILE_VARIABLE):
        return Path(named)
    if ledger.startswith("sqlite"):
        path = ledger.split(":", 1)[1]
        return Path(f"{path.removeprefix('//') if path.startswith('///') else path}.key")
    return Path.home() / ".config" / "ragmeter" / "secret.key"


class Vault:
    """Encrypts with the first of its keys and reads what any of them has encrypted.

    Args:
        keys: Keys of Fernet (32 bytes in URL-safe base64), or passphrases of any form, which are stretched.
        path: Their file, which is read again when it may have others: somebody may rotate them meanwhile.

    Raises:
        VaultError: No key, or `cryptography` is not installed.
    """

    def __init__(self, keys: Sequence[str], path: Path | None = None) -> None:
        self._path = path
        self._open(keys)

    def _open(self, keys: Sequence[str]) -> None:
        try:
            from cryptography.fernet import Fernet, MultiFernet
        except ImportError as exc:
            msg = "keys are stored encrypted; that takes the package cryptography: pip install ragmeter[server]"
            raise VaultError(msg) from exc
        if not keys:
            msg = "there is no key to encrypt with"
            raise VaultError(msg)
        self._fernet = MultiFernet([Fernet(_fernet_key(key)) for key in keys])

    @classmethod
    def of(cls, ledger: str) -> Vault:
        """Return the vault of a ledger: the keys of `RAGMETER_SECRET_KEY` (separated by commas, the newest first), else
        those of the key file, which is made where there is none.

        Raises:
            VaultError: The file cannot be read or made, or others may read it.
        """  # noqa: D205 - one sentence
        keys = [key.strip() for key in os.environ.get(_VARIABLE, "").split(",") if key.strip()]
        if keys:
            return cls(keys)
        path = key_file(ledger)
        return cls(read_keys(path), path)

    def lock(self, secret: Secret) -> str:
        """Return the text to store."""
        if self._path is not None:
            self._open(read_keys(self._path))
        return self._fernet.encrypt(secret.reveal().encode()).decode()

    def unlock(self, text: str) -> Secret:
        """Return what was stored.

        Raises:
            VaultError: It was encrypted with another key, or changed.
        """
        from cryptography.fernet import InvalidToken

        try:
            return Secret(self._fernet.decrypt(text.encode()).decode())
        except InvalidToken:
            pass
        try:
            if self._path is not None:
                self._open(read_keys(self._path))
            return Secret(self._fernet.decrypt(text.encode()).decode())
        except InvalidToken:
            msg = f"a stored key cannot be read: it was encrypted with a key that is not in {_VARIABLE} or the key file"
            raise VaultError(msg) from None

    def rotated(self, text: str) -> str:
        """Return a stored text, encrypted anew with the newest key."""
        return self.lock(self.unlock(text))


def _fernet_key(key: str) -> bytes:
    try:
        if len(base64.urlsafe_b64decode(key)) == _RAW:
            return key.encode()
    except ValueError:
        pass
    # The salt is fixed: what is guarded is one database's keys, and the text must lead to the same key everywhere.
    stretched = hashlib.scrypt(key.encode(), salt=b"ragmeter.vault.1", n=1 << 14, r=8, p=1, dklen=_RAW)
    return base64.urlsafe_b64encode(stretched)


def read_keys(path: Path) -> list[str]:
    """Return the keys of a file, one a line; makes it with a new key, readable by its owner only."""
    try:
        if not path.exists():
            _write(path, [new_key()], exclusive=True)
        if os.name == "posix" and path.stat().st_mode & 0o077:
            msg = f"others may read {path}: chmod 600 it"
            raise VaultError(msg)
        return [line.strip() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    except OSError as exc:
        msg = f"the key file {path} cannot be used: {exc.strerror}"
        raise VaultError(msg) from exc


def add_key(path: Path) -> None:
    """Put a new key before those of a file."""
    _write(path, [new_key(), *read_keys(path)])


def drop_old_keys(path: Path) -> int:
    """Keep the newest key of a file only; how many were dropped."""
    keys = read_keys(path)
    _write(path, keys[:1])
    return len(keys) - 1


def new_key() -> str:
    """Return a new random key."""
    return base64.urlsafe_b64encode(os.urandom(_RAW)).decode()


def _write(path: Path, keys: Sequence[str], *, exclusive: bool = False) -> None:
    """Write a file whole or not at all; `exclusive` leaves one alone that somebody else has made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)  # 0600
    try:
        with os.fdopen(handle, "w") as file:
            file.write("\n".join([*keys, ""]))
        if not exclusive:
            Path(name).replace(path)
            return
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink(missing_ok=True)
