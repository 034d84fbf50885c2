-- Puts a log that has ended aside, so that another one can begin in its place.
-- KEYS: log, meta, crowd; the same of where it goes
if not redis.call('HGET', KEYS[2], 'x') then return 0 end
for i = 1, 3 do
  redis.call('DEL', KEYS[i + 3])
  -- A log without events, and a crowd of nobody, are no keys.
  if redis.call('EXISTS', KEYS[i]) == 1 then redis.call('RENAME', KEYS[i], KEYS[i + 3]) end
end
return 1
