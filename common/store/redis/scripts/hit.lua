-- One attempt of a sliding window (operations.md §8.19); one that is refused is not counted.
--
-- KEYS  the sorted set of attempts, scores in microseconds
-- ARGV  limit, window in seconds
-- Gives {1 refused or 0, attempts in the window, seconds until one more passes or the oldest ends}.

local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

local function text(number)
    return string.format('%.0f', number)
end

redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - window * 1000000))
local newest = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
if newest[2] and tonumber(newest[2]) > now then
    redis.call('DEL', KEYS[1]) -- the clock was set back: those times say nothing any more
end

local count = redis.call('ZCARD', KEYS[1])
local refused = limit <= 0 or count >= limit
if not refused then
    -- Attempts of one microsecond leave together, so their number makes the member unique.
    redis.call('ZADD', KEYS[1], text(now), text(now) .. ':' .. count)
    redis.call('EXPIRE', KEYS[1], window + 1)
    count = count + 1
end

local left = window * 1000000
if count > 0 then
    local first = refused and limit > 0 and count - limit or 0
    local entry = redis.call('ZRANGE', KEYS[1], first, first, 'WITHSCORES')
    left = tonumber(entry[2]) + window * 1000000 - now
end
return {refused and 1 or 0, count, math.max(1, math.ceil(left / 1000000))}
