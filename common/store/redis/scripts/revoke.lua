-- Revokes a token or all tokens of a user: the key that admission asks, the mirror's member, the
-- announcement, in this order. One server gets all at once; in a Cluster key and mirror lie in
-- different slots and are two calls, the key's first.
--
-- KEYS  the key, the mirror, or both
-- ARGV  which of them KEYS holds ("key", "mirror", "both"), value ("time": now, Unix seconds), end
--       of life in Unix milliseconds (0: never), member, channel, announcement, the asker's time in
--       Unix milliseconds
-- An entry that lives longer already keeps its life. Of the two clocks the slower one counts: tokens
-- end by those of the programs, and one that this server's clock takes for ended may still open.

local part, value, ends = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = math.min(tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000),
                     tonumber(ARGV[7]))
local left = ends - now - 1 -- Redis ends a key after its last millisecond, a token ends before

if value == 'time' then
    value = time[1]
end

if part ~= 'mirror' then
    local has = redis.call('PTTL', KEYS[1]) -- -1: for ever, -2: not there
    if ends == 0 or has == -1 then
        redis.call('SET', KEYS[1], value)
    elseif math.max(has, left) > 0 then
        redis.call('SET', KEYS[1], value, 'PX', string.format('%.0f', math.max(has, left)))
    end
end

if part ~= 'key' then
    local mirror = KEYS[#KEYS]
    local score = ends == 0 and '+inf' or ARGV[3]
    local has = redis.call('ZSCORE', mirror, ARGV[4])
    redis.call('ZREMRANGEBYSCORE', mirror, '-inf', string.format('%.0f', now))
    if not has or (has ~= 'inf' and (score == '+inf' or tonumber(has) < ends)) then
        redis.call('ZADD', mirror, score, ARGV[4])
    end
    redis.call('PUBLISH', ARGV[5], ARGV[6])
end
return 1
