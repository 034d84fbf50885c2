-- An instance has clients of the stream, or none any more.
-- KEYS: meta, crowd
-- ARGV: instance, SADD or SREM, ttl
if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call(ARGV[2], KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
