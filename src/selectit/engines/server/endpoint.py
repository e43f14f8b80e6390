"""One HTTP server that is asked many things at once: retries, waiting, errors. What is asked, `server` knows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx2

from selectit.errors import EngineError, SettingsError
from selectit.text_tables import printable

T = TypeVar("T")


KEYS = ("SELECTIT_API_KEY", "OPENAI_API_KEY")
"""Variables of the environment that may hold the key; the first that is set counts. It is stored nowhere."""


LARGEST_ANSWER = 8 << 20
"""Bytes of one answer; a list of all the models of a large host is a tenth of it."""


_PASSING = (408, 425, 429)
"""Besides 500 and above: answers that another try may better."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try. All times are seconds."""

    tries: int = 6
    first_wait: float = 0.5
    """Before the second try; doubled with each, times a random number from 0.5 to 1."""
    longest_wait: float = 30.0
    longest_asked: float = 600.0
    """A server that asks for a longer wait is not waited for."""
    timeout: float = 120.0
    """Of one try, from connecting to the last byte of the answer, however it trickles in."""
    connect_timeout: float = 10.0


class RequestFailed(Exception):
    """A request without a usable answer, after all tries. `status` is the HTTP status, 0 where there is none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Malformed(Exception):
    """A JSON answer that is not of the form it should have."""


@dataclass(frozen=True, slots=True)
class _Response:
    """What the server answered to one request."""

    status: int
    reason: str
    retry_after: str
    body: bytes

    def json(self) -> Any:
        """The body's value. Raises Malformed where it has none that Python can hold."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise Malformed(str(error)) from error


class Endpoint:
    """A server under one address, with one client whose connections are used again.

    Its requests run on an event loop in a thread of its own, so that it works in a notebook, which has a loop already.
    """

    def __init__(self, base_url: str, concurrency: int, patience: Patience) -> None:
        self.url = checked_url(base_url)
        self.concurrency = concurrency
        self._patience = patience
        self._key = _key()
        self._met = False
        self._not_before = 0.0
        self._client = httpx2.AsyncClient(
            # Without compression an answer is no larger than what is counted when it comes in.
            headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {self._key}"} if self._key else {}),
            timeout=httpx2.Timeout(patience.timeout, connect=patience.connect_timeout, pool=None),
            limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="selectit-server", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; where the caller is interrupted, it is cancelled."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        finally:
            future.cancel()

    def close(self) -> None:
        """Close the connections and end the thread."""
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:  # an interruption may have left some
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await self._client.aclose()

    async def ask(self, url: str, body: Any, read: Callable[[Any], T]) -> T:
        """What `read` makes of the JSON answer to `body` (POST), or to a GET where that is None.

        Tried again, with growing waits: time-outs, cut connections, the statuses 408, 425, 429 and 500 and above, and
        answers that are too large, no JSON, or that `read` calls Malformed. `Retry-After` holds back all requests.

        Raises:
            RequestFailed: there is no answer after all tries, or one that no further try would better.
            EngineError: the first request of all finds nothing to connect to.
        """
        failure, status = "", 0
        for attempt in range(self._patience.tries):
            await self._wait(attempt)
            try:
                response = await self._request(url, body)
                self._met = True
                if 200 <= response.status < 300:
                    return read(response.json())
            except (httpx2.RequestError, TimeoutError) as error:
                self._refuse_unmet(error)
                failure, status = _transport(error, self._patience.timeout), 0
                continue
            except Malformed as error:
                failure, status = f"the server's answer can't be used: {self.clean(str(error))}", 0
                continue
            failure, status = f"the server answers {response.status}: {self._told(response)}", response.status
            if status < 500 and status not in _PASSING:
                raise RequestFailed(failure, status)
            self._hold_back(response)
        raise RequestFailed(f"{failure} ({self._patience.tries} tries)", status)

    async def _request(self, url: str, body: Any) -> _Response:
        """One try. Raises httpx2.RequestError, TimeoutError, and Malformed where the answer is too large."""
        async with (
            asyncio.timeout(self._patience.timeout),
            self._client.stream("GET" if body is None else "POST", url, json=body) as response,
        ):
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Malformed("it is compressed, which was not asked for")
            found = bytearray()
            async for block in response.aiter_raw():
                found += block
                if len(found) > LARGEST_ANSWER:
                    raise Malformed(f"it is larger than {LARGEST_ANSWER >> 20} MB")
            return _Response(
                response.status_code, response.reason_phrase, response.headers.get("Retry-After", ""), bytes(found)
            )

    def clean(self, text: str) -> str:
        """A text of the server on one line of at most 200 characters, without the key should it repeat that."""
        if self._key:
            text = text.replace(self._key, "…")
        return printable(" ".join(unicode(text).split()))[:200]

    async def _wait(self, attempt: int) -> None:
        """Wait as long as the server has asked, and before another try as long as its number says."""
        patience = self._patience
        pause = 0.0
        if attempt:
            pause = min(patience.first_wait * 2 ** (attempt - 1), patience.longest_wait) * random.uniform(0.5, 1)
        await asyncio.sleep(max(pause, self._not_before - time.monotonic()))

    def _hold_back(self, response: _Response) -> None:
        """Note a Retry-After. Raises RequestFailed where it is out of proportion."""
        asked = retry_after(response.retry_after, datetime.now(UTC))
        if asked > self._patience.longest_asked:
            limit = f"{self._patience.longest_asked:g} s are the most"
            raise RequestFailed(
                f"the server answers {response.status} and asks to wait {asked:.0f} s; {limit}", response.status
            )
        self._not_before = max(self._not_before, time.monotonic() + asked)

    def _refuse_unmet(self, error: Exception) -> None:
        if self._met or not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return
        raise EngineError(
            f"can't connect to {self.url}: {self.clean(str(error)) or 'no answer'}",
            "Start the server and wait until it listens, or correct --base-url.",
        ) from error

    def _told(self, response: _Response) -> str:
        """What the server says of its error."""
        try:
            said = response.json()
            for key in ("error", "message", "detail"):
                if isinstance(said, dict) and said.get(key):
                    said = said[key]
            return self.clean(str(said))
        except (Malformed, RecursionError):
            return self.clean(response.body.decode(errors="replace")) or self.clean(response.reason)


def unicode(text: str) -> str:
    """The text with '?' for each half of a surrogate pair: JSON can say them, and nothing can store them."""
    return text.encode("utf-8", "replace").decode()


def _key() -> str:
    """The key of the environment, '' without one. Raises SettingsError where it can't be one."""
    for name in KEYS:
        key = os.environ.get(name, "").strip()
        if not all("!" <= character <= "~" for character in key):
            raise SettingsError(f"the variable {name} has characters that are in no key", "Set it again.")
        if key:
            return key
    return ""


def checked_url(base_url: str) -> str:
    """The address before /completions: without a slash at its end, and with /v1 where it has no path.

    Raises:
        SettingsError: it is no http or https address, or has a password in it.
    """
    try:
        url = httpx2.URL(base_url.rstrip("/"))
        host = url.host  # decodes it
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise SettingsError(f"--base-url is no address: {error}", "Write it as http://localhost:8000/v1.") from error
    if url.userinfo:
        raise SettingsError("--base-url has a password in it", f"Leave it out and set the variable {KEYS[0]}.")
    if url.scheme not in ("http", "https") or not host or url.query or url.fragment:
        raise SettingsError(f"--base-url is {base_url!r}, no plain address", "Write it as http://localhost:8000/v1.")
    return str(url).rstrip("/") if url.path.strip("/") else str(url).rstrip("/") + "/v1"


def retry_after(value: str, now: datetime) -> float:
    """Seconds to wait by a Retry-After header, which is a number of seconds or an HTTP date; 0 where it is neither.

    Source: RFC 9110, 10.2.3.
    """
    if value.strip().isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def _transport(error: httpx2.RequestError | TimeoutError, timeout: float) -> str:
    """A cut connection, a time-out and the like in plain words: always the same ones for the same cause."""
    if isinstance(error, httpx2.TimeoutException | TimeoutError):
        return f"the server did not answer within {timeout:g} s"
    if isinstance(error, httpx2.ConnectError):
        return "the server can't be reached any more"
    return f"the connection was cut ({type(error).__name__})"
