-- Tells all something beside events, behind the last position, for who shows the fence.
-- KEYS: meta
-- ARGV: fence, base, note, channel
local m = redis.call('HMGET', KEYS[1], 'f', 'p', 'x')
if m[1] ~= ARGV[1] or m[3] then return {'FENCED'} end
if m[2] ~= ARGV[2] then return {'AT', m[2]} end
redis.call('HSET', KEYS[1], 'h', ARGV[3])
redis.call('SPUBLISH', ARGV[4], 'n')
return {'DONE'}
