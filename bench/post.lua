-- post.lua - wrk sends POST with a body of as many bytes as the argument says:
--   wrk -s post.lua URL -- 1024

function init(args)
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.rep("x", tonumber(args[1]))
end
