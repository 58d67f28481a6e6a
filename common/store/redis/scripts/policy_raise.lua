-- Puts a generation in force: KEYS lease, current (one slot); ARGV token, current as read, the new
-- one. Only the holder of the lease may, and only over what it read.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 'lease'
end
local current = redis.pcall('GET', KEYS[2])
if type(current) ~= 'string' then
    current = '' -- not there, or of another type
end
if current ~= ARGV[2] then
    return 'moved'
end
redis.call('SET', KEYS[2], ARGV[3])
return 'raised'
