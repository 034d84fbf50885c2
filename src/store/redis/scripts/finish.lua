-- Ends the log behind its last position.
-- KEYS: log, meta, crowd
-- ARGV: fence, base, ttl of what has ended, channel
local m = redis.call('HMGET', KEYS[2], 'f', 'p', 'x')
if m[1] ~= ARGV[1] or m[3] then return {'FENCED'} end
if m[2] ~= ARGV[2] then return {'AT', m[2]} end
redis.call('HSET', KEYS[2], 'x', 1)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[3]) end
redis.call('SPUBLISH', ARGV[4], 'e' .. m[2])
return {'DONE'}
