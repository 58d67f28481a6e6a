-- Ends a reservation: spent, or given back. One that is not there changes nothing.
--
-- KEYS  the account
-- ARGV  id, "spent" or "back"

if redis.call('HDEL', KEYS[1], 'r:' .. ARGV[1]) == 1 and ARGV[2] == 'back' then
    give_back(KEYS[1])
end
return 1
