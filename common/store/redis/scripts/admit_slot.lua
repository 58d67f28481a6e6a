-- One counter of one call, in a Cluster. The asker built its name from a guess of the time; here the
-- guess is held against TIME of the node that counts.
--
-- KEYS  the counter
-- ARGV  kind ("calls", "bytes"), index of the window that was guessed, window in seconds, cap
-- Gives {verdict, seconds, microseconds, value after this call}; verdict 0 yes, 2 over, 3 another
-- window runs now (ask again with the time given). Unless it is 0, nothing was spent.

local YES, OVER, MOVED = 0, 2, 3

local now = redis.call('TIME')
local seconds, fraction = tonumber(now[1]), tonumber(now[2])
if math.floor(seconds / tonumber(ARGV[3])) ~= tonumber(ARGV[2]) then
    return {MOVED, seconds, fraction, 0}
end
local value = value_of(redis.call('GET', KEYS[1]))
if not value then
    return redis.error_reply('ODD no counter under ' .. KEYS[1])
end
if value >= tonumber(ARGV[4]) then
    return {OVER, seconds, fraction, value}
end
if ARGV[1] == 'calls' then
    value = spend(KEYS[1], ARGV[3])
end
return {YES, seconds, fraction, value}
