-- Replaces what all are told beside events.
-- KEYS: meta
-- ARGV: fence, note
local m = redis.call('HMGET', KEYS[1], 'f', 'x')
if m[1] ~= ARGV[1] or m[2] then return 0 end
redis.call('HSET', KEYS[1], 'h', ARGV[2])
return 1
