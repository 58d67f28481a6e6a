-- Stands before every script of an account of credits (live_keys.h): a hash with the fields
-- `balance`, `due` (the earliest end of a hold, Unix milliseconds) and `r:<id>` (end of that hold).

local function number_of(text)
    return text and string.find(text, '^-?%d+$') and tonumber(text) or nil
end

local function digits(number)
    return string.format('%.0f', number)
end

local function now_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- One credit back; an account that is full stays full.
local function give_back(key)
    redis.pcall('HINCRBY', key, 'balance', 1)
end

-- Holds that ended come back. Walks them only once the earliest is due.
local function collect(key, now)
    local due = number_of(redis.call('HGET', key, 'due'))
    if not due or now < due then
        return
    end
    local fields = redis.call('HGETALL', key)
    local next_due
    for at = 1, #fields, 2 do
        if string.sub(fields[at], 1, 2) == 'r:' then
            local ends = number_of(fields[at + 1]) or 0
            if ends <= now then
                redis.call('HDEL', key, fields[at])
                give_back(key)
            elseif not next_due or ends < next_due then
                next_due = ends
            end
        end
    end
    if next_due then
        redis.call('HSET', key, 'due', digits(next_due))
    else
        redis.call('HDEL', key, 'due')
    end
end

