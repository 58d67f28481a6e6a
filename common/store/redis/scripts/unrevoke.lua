-- Lets a user's tokens pass again: the key, the mirror's member, the announcement, as in revoke.lua.
--
-- KEYS  the key, the mirror, or both
-- ARGV  "key", "mirror" or "both", member, channel, announcement

if ARGV[1] ~= 'mirror' then
    redis.call('DEL', KEYS[1])
end
if ARGV[1] ~= 'key' then
    redis.call('ZREM', KEYS[#KEYS], ARGV[2])
    redis.call('PUBLISH', ARGV[3], ARGV[4])
end
return 1
