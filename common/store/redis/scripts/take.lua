-- What a member of a group has to apply: entries that another one took and did not end, or else new
-- ones. Groups are made here, from the first entry on: what was appended before there was an admin
-- counts too.
--
-- KEYS  the stream
-- ARGV  group, consumer, milliseconds after which an entry counts as left ("": do not look), count,
--       bytes of the longest record
--
-- Gives {place, id, record} of each. What is none of ours has neither id nor record, however large
-- it is: whoever takes it ends it, so that it is met once.

local function ask(...)
    local reply = redis.pcall(...)
    if type(reply) ~= 'table' or not reply.err then
        return reply
    elseif string.find(reply.err, 'NOGROUP', 1, true) then
        redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
        return redis.call(...)
    end
    error(reply.err)
end

-- Members that left long ago and hold nothing: each start of an admin makes one.
local function forget_members()
    for _, member in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
        local has = {}
        for i = 1, #member, 2 do
            has[member[i]] = member[i + 1]
        end
        if has.pending == 0 and has.idle > 3600000 then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], has.name)
        end
    end
end

local function entries()
    if ARGV[3] ~= '' then
        local left = ask('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], '0', 'COUNT', ARGV[4])
        forget_members()
        if #left[2] > 0 then
            return left[2]
        end
    end
    local new = ask('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[4],
                    'STREAMS', KEYS[1], '>')
    return new and new[1][2] or {}
end

local list = {}
for _, entry in ipairs(entries()) do
    local fields = entry and entry[2]
    if fields and #fields == 4 and fields[1] == 'id' and fields[3] == 'record'
            and #fields[2] + #fields[4] <= tonumber(ARGV[5]) then
        table.insert(list, {entry[1], fields[2], fields[4]})
    elseif entry then
        table.insert(list, {entry[1], '', ''})
    end
end
return list
