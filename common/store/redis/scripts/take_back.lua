-- Takes back the unit that admit_slot spent for a call that another slot refused, never below 0. A
-- window that ended meanwhile took its counter with it.
--
-- KEYS  the counter

local value = value_of(redis.call('GET', KEYS[1]))
if value and value > 0 then
    redis.call('DECR', KEYS[1])
end
return 1
