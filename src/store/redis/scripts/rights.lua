-- Which of these commands the caller may not carry out on its keys and channels.
-- KEYS: one of the caller's
-- ARGV: a channel, then commands with as many keys as are named
local missing = {}
local function check(...)
  -- One that is not known, or renamed, is an error.
  local is_known, may = pcall(redis.acl_check_cmd, ...)
  if not (is_known and may) then missing[#missing + 1] = (...) end
end
local k = KEYS[1]
check('XADD', k, '1-0', 'e', 'x')
check('XRANGE', k, '-', '+')
check('HMGET', k, 'f')
check('HGET', k, 'f')
check('HSET', k, 'f', 'x')
check('EXISTS', k)
check('DEL', k)
check('RENAME', k, k)
check('PEXPIRE', k, '1')
check('SET', k, 'x')
check('SADD', k, 'x')
check('SREM', k, 'x')
check('SMEMBERS', k)
check('SPUBLISH', ARGV[1], 'x')
check('SSUBSCRIBE', ARGV[1])
check('SUNSUBSCRIBE', ARGV[1])
check('MULTI')
check('EXEC')
return missing
