-- Makes the caller the owner, unless another one lives or there was one since the caller has read.
-- KEYS: log, meta, session of the caller
-- ARGV: fence as read ('' for none), fence to be, caller, epoch of a new log, 'force' or '', prefix of sessions, ttl, channel
if redis.call('EXISTS', KEYS[3]) == 0 then return {'DEAD'} end
local m = redis.call('HMGET', KEYS[2], 'f', 'o', 'x')
if (m[1] or '') ~= ARGV[1] then return {'CHANGED', m[1], m[2]} end
if m[3] then return {'ENDED'} end
local owner = m[2] or ''
if owner ~= '' and owner ~= ARGV[3] and ARGV[5] ~= 'force' then
  -- Who that is only the hash says. Its key has the tag of the others, so it is at the same node of a cluster.
  if redis.call('EXISTS', ARGV[6] .. owner) == 1 then return {'BUSY', owner} end
end
if not m[1] then
  redis.call('DEL', KEYS[1]) -- the hash alone may have been evicted
  redis.call('HSET', KEYS[2], 'v', 1, 'e', ARGV[4], 'p', 0, 'n', 0, 'r', '-')
end
redis.call('HSET', KEYS[2], 'f', ARGV[2], 'o', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
redis.call('SPUBLISH', ARGV[8], 'o' .. ARGV[2] .. ':' .. ARGV[3])
return {'OWN', redis.call('HMGET', KEYS[2], 'v', 'e', 'p', 'n', 'f', 'o', 'r', 'x')}
