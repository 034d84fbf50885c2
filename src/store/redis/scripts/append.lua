-- Appends a frame and publishes it, for who shows the fence and the last position.
-- KEYS: log, meta
-- ARGV: fence, base, last, sequence, keep, reign ('' to leave it), ttl, channel, frame
local m = redis.call('HMGET', KEYS[2], 'f', 'p', 'x')
if m[1] ~= ARGV[1] or m[3] then return {'FENCED'} end
if m[2] == ARGV[3] then return {'DONE'} end -- it was sent again, since its answer was lost
if m[2] ~= ARGV[2] then return {'AT', m[2]} end
-- Exactly, so that all who read see it begin at the same place.
redis.call('XADD', KEYS[1], 'MINID', '=', ARGV[5], ARGV[3] .. '-0', 'e', ARGV[9])
redis.call('HSET', KEYS[2], 'p', ARGV[3], 'n', ARGV[4])
if ARGV[6] ~= '' then redis.call('HSET', KEYS[2], 'r', ARGV[6]) end
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('PEXPIRE', KEYS[2], ARGV[7])
redis.call('SPUBLISH', ARGV[8], ARGV[9])
return {'DONE'}
