"""What the adapter asks of a secret: to be told it, for the moment in which it is handed to pybit."""

from __future__ import annotations

from typing import Protocol


class SecretHolder(Protocol):
    """Holds a secret and shows it nowhere else."""

    def reveal(self) -> str:
        """The text."""


def revealed(secret: SecretHolder | str) -> str:
    """The text of a secret, which a caller may hold as it is."""
    return secret if isinstance(secret, str) else secret.reveal()
