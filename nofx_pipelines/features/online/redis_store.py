"""Vectors in Redis: one blob an entity, put and got by scripts that the server runs whole.

Keys, all with one hash tag so that a cluster keeps them together::

    {NAMESPACE:NAME}:vector    hash: entity to slot
    {NAMESPACE:NAME}:time      sorted set: entity by event time
    {NAMESPACE:NAME}:used      sorted set: entity by its last use, where there is a limit
    {NAMESPACE:NAME}:meta      hash: header (JSON: version, names), its checksum, counters
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from nofx_pipelines.errors import ConfigError, FeatureError, TableNotFound
from nofx_pipelines.features.online.layout import NAME_BYTES, VALUES
from nofx_pipelines.features.online.store import Found, OnlineStore, joined, newest_of_each, slots

_AT_ONCE = 500
"""Vectors a script writes before others have their turn."""

_PUT = """
local vector, time, used, meta = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local checksum, header, room = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call('HGET', meta, 'checksum') ~= checksum then
  redis.call('DEL', vector, time, used, meta)
  redis.call('HSET', meta, 'header', header, 'checksum', checksum)
end
local now = redis.call('HINCRBY', meta, 'uses', ARGV[8]) - tonumber(ARGV[8])
local put, k = 0, 0
local size, next_time = tonumber(ARGV[4]), string.gmatch(ARGV[6], '%-?%d+')
for entity in string.gmatch(ARGV[5], '[^%z]+') do
  local when = next_time()
  local old = redis.call('ZSCORE', time, entity)
  if not old or tonumber(old) <= tonumber(when) then
    redis.call('HSET', vector, entity, string.sub(ARGV[7], k * size + 1, k * size + size))
    redis.call('ZADD', time, when, entity)
    put = put + 1
  end
  k = k + 1
  if room >= 0 then redis.call('ZADD', used, now + k, entity) end
end
redis.call('HINCRBY', meta, 'writes', put)
if room >= 0 then
  local leaving = redis.call('HLEN', vector) - room
  if leaving > 0 then
    local unused = {}
    if redis.call('ZCARD', used) < redis.call('HLEN', vector) then
      for _, entity in ipairs(redis.call('ZRANGE', time, 0, -1)) do
        if #unused < leaving and not redis.call('ZSCORE', used, entity) then
          unused[#unused + 1] = entity
        end
      end
    end
    for _, entity in ipairs(redis.call('ZRANGE', used, 0, leaving - #unused - 1)) do
      unused[#unused + 1] = entity
    end
    for k = 1, leaving do
      local entity = unused[k]
      redis.call('HDEL', vector, entity)
      redis.call('ZREM', time, entity)
      redis.call('ZREM', used, entity)
    end
    redis.call('HINCRBY', meta, 'evictions', leaving)
  end
end
return put
"""
_GET = """
local vector, used, meta = KEYS[1], KEYS[2], KEYS[3]
local checksum = redis.call('HGET', meta, 'checksum')
if not checksum then return {} end
local found, there, hits = {}, {}, 0
local limited = ARGV[2] == '1'
local now = limited and redis.call('HINCRBY', meta, 'uses', #ARGV) - #ARGV or 0
for start = 3, #ARGV, 1000 do
  local part = redis.call('HMGET', vector, unpack(ARGV, start, math.min(start + 999, #ARGV)))
  for k, slot in ipairs(part) do
    there[start - 3 + k] = slot and '1' or '0'
    if slot then
      hits = hits + 1
      found[hits] = slot
      if limited then redis.call('ZADD', used, now + start - 3 + k, ARGV[start - 1 + k]) end
    end
  end
end
redis.call('HINCRBY', meta, 'hits', hits)
redis.call('HINCRBY', meta, 'misses', #ARGV - 2 - hits)
local header = ''
if checksum ~= ARGV[1] then header = redis.call('HGET', meta, 'header') end
return {checksum, header, table.concat(there), table.concat(found)}
"""
_CLEAN = """
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(' .. ARGV[1])
for _, entity in ipairs(gone) do
  redis.call('HDEL', KEYS[1], entity)
  redis.call('ZREM', KEYS[2], entity)
  redis.call('ZREM', KEYS[3], entity)
end
return #gone
"""


class RedisStore(OnlineStore):
    """The store ``name`` on the server at ``url``; any number of processes and machines.

    A password belongs into the URL, and the URL into the environment (``NOFX_REDIS_URL``). ``limit_bytes``
    counts the slots; set Redis's own ``maxmemory`` well above. Raises ConfigError where the package redis is
    missing, FeatureError where the server does not answer.
    """

    def __init__(
        self, url: str, name: str, *, namespace: str = "nofx", limit_bytes: int | None = None
    ) -> None:
        try:
            import redis
        except ImportError as error:
            raise ConfigError(
                "the redis package is not installed", hint="pip install 'nofx-pipelines[online]'"
            ) from error
        self.limit_bytes = limit_bytes
        self._server = _without_password(url)
        self._error: type[Exception] = redis.RedisError
        self._client: Any = redis.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5)
        tag = f"{{{namespace}:{name}}}"
        self._vector, self._time, self._used, self._meta = (
            f"{tag}:{part}" for part in ("vector", "time", "used", "meta")
        )
        self._put_script, self._get_script, self._clean_script = (
            self._client.register_script(script) for script in (_PUT, _GET, _CLEAN)
        )
        self._header: tuple[str, str, tuple[str, ...]] = ("", "", ())

    @property
    def place(self) -> str:
        """Server and key."""
        return f"{self._server} {self._vector}"

    def bytes_of(self, features: int) -> int:
        """One slot and the name in three places; the server's own bookkeeping comes on top."""
        return (features + VALUES) * 8 + 3 * NAME_BYTES

    def _put(
        self,
        entities: Sequence[str],
        times: NDArray[np.int64],
        version: str,
        names: tuple[str, ...],
        matrix: NDArray[np.float64],
        now_us: int,
    ) -> int:
        header = json.dumps({"version": version, "names": names})
        checksum = hashlib.sha256(header.encode()).hexdigest()
        chosen = newest_of_each(entities, times)
        words = slots(times[chosen], matrix[chosen], now_us)
        size, data, whens = words.shape[1] * 8, memoryview(words.tobytes()), times[chosen].tolist()
        room, put = self._room(len(names)), 0
        for start in range(0, len(chosen), _AT_ONCE):
            end = min(start + _AT_ONCE, len(chosen))
            args = [
                *(checksum, header, -1 if room is None else room, size),
                "\0".join([entities[k] for k in chosen[start:end].tolist()]),
                " ".join(map(str, whens[start:end])),
                data[start * size : end * size],
                end - start,
            ]
            put += int(self._call(self._put_script, [self._vector, self._time, self._used, self._meta], args))
        return put

    def _get(self, entities: Sequence[str]) -> Found:
        checksum, version, names = self._header
        limited = 0 if self.limit_bytes is None else 1
        found = self._call(
            self._get_script, [self._vector, self._used, self._meta], [checksum, limited, *entities]
        )
        if not found:
            raise TableNotFound(f"{self.place} was never written", hint="nofx run")
        if found[1]:
            version, names = self._learn(found[0], found[1])
        there = [mark == 49 for mark in found[2]]  # "1"
        words, known = joined(found[3], there, entities, len(names))
        return Found(words, known, len(found[3]) // (8 * words.shape[1]), version, names)

    def between(self, start_us: int, end_us: int) -> list[str]:
        """Entities whose vector has its event time in ``[start_us, end_us)``, the oldest first."""
        self._head()
        found = self._call(self._client.zrangebyscore, self._time, start_us, f"({end_us}")
        return [name.decode() for name in found]

    def clean(self, now_us: int, ttl_us: int) -> int:
        """Take out the entities whose vector is older than ``ttl_us``; how many."""
        keys = [self._vector, self._time, self._used]
        return int(self._call(self._clean_script, keys, [now_us - ttl_us]))

    def statistics(self) -> dict[str, int]:
        """As `OnlineStore.statistics`; bytes are those of the slots and names."""
        _, names = self._head()
        counted = {key.decode(): value for key, value in self._call(self._client.hgetall, self._meta).items()}
        oldest = self._call(self._client.zrange, self._time, 0, 0, withscores=True)
        newest = self._call(self._client.zrange, self._time, -1, -1, withscores=True)
        entities = int(self._call(self._client.hlen, self._vector))
        return {
            "entities": entities,
            "features": len(names),
            "bytes": entities * self.bytes_of(len(names)),
            **{name: int(counted.get(name, 0)) for name in ("writes", "hits", "misses", "evictions")},
            "oldest_us": int(oldest[0][1]) if oldest else 0,
            "newest_us": int(newest[0][1]) if newest else 0,
        }

    def entities(self) -> list[str]:
        """Every entity that is here, by event time."""
        self._head()
        return [name.decode() for name in self._call(self._client.zrange, self._time, 0, -1)]

    @property
    def version(self) -> str | None:
        """The version of the vectors; None where nothing was put."""
        try:
            return self._head()[0]
        except TableNotFound:
            return None

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _head(self) -> tuple[str, tuple[str, ...]]:
        checksum, header = self._call(self._client.hmget, self._meta, ["checksum", "header"])
        if checksum is None:
            raise TableNotFound(f"{self.place} was never written", hint="nofx run")
        return self._learn(checksum, header)

    def _learn(self, checksum: bytes, header: bytes) -> tuple[str, tuple[str, ...]]:
        told = json.loads(header)
        self._header = (checksum.decode(), told["version"], tuple(told["names"]))
        return self._header[1], self._header[2]

    def _call(self, command: Callable[..., Any], *args: Any, **options: Any) -> Any:
        try:
            return command(*args, **options)
        except self._error as error:
            raise FeatureError(
                f"{self._server}: {error}",
                kept="vectors that were put stay",
                hint="set NOFX_REDIS_URL to a server that answers",
            ) from error


def _without_password(url: str) -> str:
    """The server of a URL, for messages.

    >>> _without_password("redis://user:secret@cache.example:6379/2")
    'redis://cache.example:6379/2'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
