-- Nobody owns the stream any more. The fence stays, and who acquires next shows that it was read.
-- KEYS: meta
-- ARGV: fence, channel
local m = redis.call('HMGET', KEYS[1], 'f', 'x')
if m[1] ~= ARGV[1] or m[2] then return end
redis.call('HSET', KEYS[1], 'o', '')
redis.call('SPUBLISH', ARGV[2], 'f' .. ARGV[1])
