-- A new balance; reservations stay as they are.
--
-- KEYS  the account
-- ARGV  balance, "always" or "new" (an account that is there keeps its balance)

collect(KEYS[1], now_ms())
if ARGV[2] == 'always' or redis.call('HEXISTS', KEYS[1], 'balance') == 0 then
    redis.call('HSET', KEYS[1], 'balance', ARGV[1])
end
return 1
