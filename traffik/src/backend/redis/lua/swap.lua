-- Compare-and-swap over all keys of a batch at once, for strategies without a Lua twin. A complete
-- script of its own.
--
-- KEYS    the accounts, all different.
-- ARGV    [1]  'server' to get the server's time, 'argument' if the caller has its own
--         then nothing, to read; or, for each key, in order:
--              what it must hold, as an earlier reply described it
--              the value to store, '' to delete the key
--              how long to keep the value, in ms
-- Returns { 1 } if every key held what it must, and all is stored; else
--         { 0, now in µs since the Unix epoch (0 under 'argument'), then for each key
--           '-' if it holds nothing, '!' if a value of another type, else '=' and the value }

local held = {}
for index, key in ipairs(KEYS) do
  local raw = redis.pcall('GET', key)
  if type(raw) == 'table' then
    -- A value of another type under our key is not valid state; any other error is not ours to
    -- hide.
    if not string.find(raw.err, 'WRONGTYPE', 1, true) then
      return raw
    end
    held[index] = '!'
  elseif raw then
    held[index] = '=' .. raw
  else
    held[index] = '-'
  end
end

local swap = #ARGV > 1
for index in ipairs(KEYS) do
  swap = swap and held[index] == ARGV[3 * index - 1]
end

if swap then
  for index, key in ipairs(KEYS) do
    local value = ARGV[3 * index]
    if value ~= '' then
      redis.call('SET', key, value, 'PX', ARGV[3 * index + 1])
    elseif held[index] ~= '-' then
      redis.call('DEL', key)
    end
  end
  return { 1 }
end

local now = 0
if ARGV[1] == 'server' then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
-- Not unpack(held): a Lua function cannot return thousands of values.
local reply = { 0, now }
for index = 1, #held do
  reply[index + 2] = held[index]
end
return reply
