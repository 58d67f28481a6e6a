-- Adds bytes to one window, in a Cluster, if the guess of the time in its name is right.
--
-- KEYS  the counter
-- ARGV  start of the window that was guessed, window in seconds, bytes
-- Gives {0 added, 1 could not be counted, 3 another window runs now; seconds; microseconds}.

local now = redis.call('TIME')
local seconds, fraction, window = tonumber(now[1]), tonumber(now[2]), tonumber(ARGV[2])
if math.floor(seconds / window) * window ~= tonumber(ARGV[1]) then
    return {3, seconds, fraction}
end
local value = value_of(redis.pcall('GET', KEYS[1]))
if not value then
    return {1, seconds, fraction}
end
add_bytes(KEYS[1], value, ARGV[3], ARGV[2])
return {0, seconds, fraction}
