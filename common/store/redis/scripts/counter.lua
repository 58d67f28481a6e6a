-- Stands before every script that counts.

local MOST = 9007199254740991 -- beyond it a number of Lua is not exact

-- The value of a counter from the reply of GET, or nil: no counter of ours.
local function value_of(text)
    if not text then
        return 0
    end
    local value = type(text) == 'string' and (text == '0' or string.find(text, '^[1-9]%d*$'))
                  and tonumber(text)
    return value and value <= MOST and value or nil
end

local function digits(number)
    return string.format('%.0f', number)
end

-- One unit; the window's end ends its counter.
local function spend(key, window)
    local value = redis.call('INCR', key)
    if value == 1 then
        redis.call('EXPIRE', key, window)
    end
    return value
end

local function add_bytes(key, value, bytes, window)
    if value + tonumber(bytes) > MOST then
        redis.call('SET', key, digits(MOST), 'EX', window) -- full stays full
    else
        redis.call('INCRBY', key, bytes)
        redis.call('EXPIRE', key, window)
    end
end

