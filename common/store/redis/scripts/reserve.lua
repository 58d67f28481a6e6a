-- Takes one credit and notes it under the reservation's id (gateway.md §11).
--
-- KEYS  the account; the generation of policy in force, where one is known: a store without it was
--       emptied, and an account that is not there says nothing
-- ARGV  id, hold in milliseconds
-- Gives 1 taken (or was before), 0 nothing left or no account, 2 emptied.

if KEYS[2] and redis.call('EXISTS', KEYS[2]) == 0 then
    return 2
end
local now = now_ms()
collect(KEYS[1], now)
local field = 'r:' .. ARGV[1]
local text = redis.call('HGET', KEYS[1], 'balance')
if not text then
    return 0
end
if redis.call('HEXISTS', KEYS[1], field) == 1 then
    return 1
end
local balance = number_of(text)
if not balance then
    return redis.error_reply('ODD no balance under ' .. KEYS[1])
end
if balance <= 0 then
    return 0
end
local ends = now + tonumber(ARGV[2])
local due = number_of(redis.call('HGET', KEYS[1], 'due'))
redis.call('HINCRBY', KEYS[1], 'balance', -1)
redis.call('HSET', KEYS[1], field, digits(ends))
if not due or ends < due then
    redis.call('HSET', KEYS[1], 'due', digits(ends))
end
return 1
