-- Entries were applied: out of the group's pending list and out of the stream, in one step, so that
-- the length of the stream is what still waits.
--
-- KEYS  the stream
-- ARGV  group, entries

redis.call('XACK', KEYS[1], unpack(ARGV))
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
