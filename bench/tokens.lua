-- tokens.lua - wrk sends another token with each call, from a file of them, one
-- a line, in turn:
--   wrk -s tokens.lua URL -- FILE FIRST

local calls, at = {}, 0

function init(args)
    local call = wrk.format(nil, nil, { Authorization = "Bearer @" })
    local head, tail = call:match("^(.*)@(.*)$")
    for token in io.lines(args[1]) do
        calls[#calls + 1] = head .. token .. tail
    end
    at = tonumber(args[2]) % #calls
end

function request()
    at = at % #calls + 1
    return calls[at]
end
