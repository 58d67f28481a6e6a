-- Admits one call, or says why not (gateway.md §27.1, operations.md §8.15.3). One server only: the
-- names of counters are built here, from Redis TIME, so that no gateway's clock cuts a window.
--
-- KEYS  the generation of policy in force, then the token's revocations (none: no token)
-- ARGV  "known": a store without that generation was emptied, revocations and all; then for each
--       counter, in contract order: kind, name, window in seconds, cap
--         kind  "calls": name .. index of the window, spends one
--               "bytes": name .. start of the window, is only looked at
--         cap   a value of at least this refuses
-- Gives {verdict, place of the refusing counter, seconds, microseconds, value after this call...};
-- verdict 0 yes, 1 revoked, 2 over, 3 emptied. Values stand as far as counters were looked at. An
-- error (another type, no number) means that nothing was spent.

local YES, REVOKED, OVER, EMPTIED = 0, 1, 2, 3

local now = redis.call('TIME')
local answer = {YES, 0, tonumber(now[1]), tonumber(now[2])}

if ARGV[1] == 'known' and redis.call('EXISTS', KEYS[1]) == 0 then
    answer[1] = EMPTIED
    return answer
end
if #KEYS > 1 and redis.call('EXISTS', unpack(KEYS, 2)) > 0 then
    answer[1] = REVOKED
    return answer
end

-- Looks at all before any is spent: a refused call costs nothing.
local keys = {}
for at = 2, #ARGV, 4 do
    local place = (at - 2) / 4
    local window = tonumber(ARGV[at + 2])
    local index = math.floor(answer[3] / window)
    if ARGV[at] == 'bytes' then
        index = index * window
    end
    local key = ARGV[at + 1] .. digits(index)
    local value = value_of(redis.call('GET', key))
    if not value then
        return redis.error_reply('ODD no counter under ' .. key)
    end
    keys[place + 1] = key
    answer[5 + place] = value
    if value >= tonumber(ARGV[at + 3]) then
        answer[1] = OVER
        answer[2] = place
        return answer
    end
end

for place, key in ipairs(keys) do
    if ARGV[4 * place - 2] == 'calls' then
        answer[4 + place] = spend(key, ARGV[4 * place])
    end
end
return answer
