-- Adds bytes to windows that run now by Redis TIME. One server only.
--
-- ARGV  for each: name without the start of the window, window in seconds, bytes
-- Gives how many of them could not be counted: another type or no number lies under the name.

local now = tonumber(redis.call('TIME')[1])
local odd = 0
for at = 1, #ARGV, 3 do
    local window = tonumber(ARGV[at + 1])
    local key = ARGV[at] .. digits(math.floor(now / window) * window)
    local value = value_of(redis.pcall('GET', key))
    if value then
        add_bytes(key, value, ARGV[at + 2], ARGV[at + 1])
    else
        odd = odd + 1
    end
end
return odd
