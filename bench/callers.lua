-- For wrk: each call is the next user's, round and round; tokens from a file, one a line.
local tokens, sent = {}, 0

function init(args)
   for line in io.lines(args[1]) do tokens[#tokens + 1] = line end
end

function request()
   sent = sent % #tokens + 1
   return wrk.format("GET", nil, {["Authorization"] = "Bearer " .. tokens[sent]})
end
