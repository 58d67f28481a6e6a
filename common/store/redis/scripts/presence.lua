-- This process shares the limits: seen now, and how many were seen in the last 10 s (R4).
--
-- KEYS  the sorted set of processes, scores in Unix milliseconds
-- ARGV  this process

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - 10000))
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
redis.call('PEXPIRE', KEYS[1], 20000)
return redis.call('ZCARD', KEYS[1])
