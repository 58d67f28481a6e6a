-- The mark of a slot of a Cluster: nothing that an admin wrote there was lost since it was set. An
-- admin that writes everything anew first drafts those that are missing, and sets them at the end:
-- what was lost once more on the way took the draft with it.
--
-- KEYS  the mark, its draft
-- ARGV  "draft" or "set", the admin's word
-- Gives draft: 1 where the mark is missing, else 0. set: 1 where the draft was the admin's, else 0.

if ARGV[1] == 'draft' then
    if redis.call('EXISTS', KEYS[1]) == 1 then
        return 0
    end
    redis.call('SET', KEYS[2], ARGV[2])
    return 1
end
if redis.call('GET', KEYS[2]) ~= ARGV[2] then
    return 0
end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[1], '1')
return 1
