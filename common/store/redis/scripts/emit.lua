-- Appends records to a stream up to its cap: what the admin has not applied yet is never trimmed.
--
-- KEYS  the stream
-- ARGV  cap, then id and record of each
--
-- Gives how many were appended (the first ones), and how many wait now.

local before = redis.call('XLEN', KEYS[1])
local room = tonumber(ARGV[1]) - before
local n = 0
for i = 2, #ARGV, 2 do
    if n >= room then
        break
    end
    redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'record', ARGV[i + 1])
    n = n + 1
end
return {n, before + n}
