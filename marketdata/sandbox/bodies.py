"""The bodies of requests: what cannot be read is told to the client, whoever reads it."""

from __future__ import annotations

from aiohttp import web


class UnreadableBody(ValueError):
    """A body is too large, or not compressed as its headers say; the message says which."""


async def read_body(request: web.Request) -> bytes:
    """The body of a request. Raises UnreadableBody."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise UnreadableBody("The body is too large.") from None
    except web.RequestPayloadError:
        raise UnreadableBody("The body is not compressed as its headers say.") from None
