-- Keeps a log for longer in which nothing happens, for who shows the fence.
-- KEYS: log, meta, crowd
-- ARGV: fence, ttl
local m = redis.call('HMGET', KEYS[2], 'f', 'x')
if m[1] ~= ARGV[1] or m[2] then return {'FENCED'} end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
return {'DONE'}
