"""One GET whose answer is bounded in time and bytes, whatever answers."""

from __future__ import annotations

import aiohttp


async def http_get(url: str, *, seconds: float, most_bytes: int) -> bytes:
    """The body of the answer, as it was sent; a redirect is not followed.

    Args:
        url: http or https.
        seconds: until the last byte.
        most_bytes: the answer may have.

    Raises:
        aiohttp.ClientError, OSError, TimeoutError: no answer, or none with the status 200.
        ValueError: the answer is too long, or the address not a URL.
    """
    timeout = aiohttp.ClientTimeout(total=seconds)
    # Not inflated: an answer of a megabyte may become one of a gigabyte.
    async with (
        aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session,
        session.get(url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
    ):
        if answer.status != 200:
            raise ValueError(f"the answer has the status {answer.status}")
        body = bytearray()
        async for part in answer.content.iter_chunked(65_536):
            body += part
            if len(body) > most_bytes:
                raise ValueError(f"the answer has over {most_bytes} bytes")
    return bytes(body)
