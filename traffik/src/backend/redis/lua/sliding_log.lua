-- Every hit of the last period, one by one: the twin of strategy/sliding_log.rs (and log.rs).
--
-- Arguments: limit, period (µs).
-- State:     '=', the sum before the first entry, then (instant, sum up to here) for each entry:
--            integers of 8 bytes, little-endian; sums modulo 2^53. Entries that no longer count
--            stay until they are as many as those that do. The last entry may be repeated, with the
--            same sum: what refunds have left free, for later hits to take.
-- Returns:   verdict and next state, as prelude.lua says. A hit reads O(log n) entries and appends.

strategies.sliding_log = { arity = 2 }
local strategy = strategies.sliding_log

-- How many entries at the end a refund rewrites in place, and so the most that it leaves free. Redis
-- cannot shorten a value without copying it.
local NEAR = 64

function strategy.open(length, key)
  local raw = redis.call('GETRANGE', key, 0, 8)
  if length < 25 or length % 16 ~= 9 or string.byte(raw) ~= 61 then
    return nil
  end
  local n = (length - 9) / 16
  local previous, newest, sum = integers(key, 2 * n - 2, 3)
  local before = struct.unpack('<I8', raw, 2) % EXACT
  return { key = key, n = n, before = before, newest = newest, sum = sum % EXACT, has_free = previous == sum }
end

local function time(log, entry)
  return (integers(log.key, 2 * entry + 1, 1))
end

-- The sum of everything before an entry.
local function sum_before(log, entry)
  if entry == log.n then
    return log.sum
  end
  return entry == 0 and log.before or integers(log.key, 2 * entry, 1) % EXACT
end

-- The difference of two sums.
local function between(older, newer)
  return newer >= older and newer - older or newer + (EXACT - older)
end

-- Takes `units` off the newest entries from `first` on that are not later than `at`. Returns how
-- many could be taken, the instant of the newest remaining entry, and what `save` has to do.
local function take_newest(log, first, at, units)
  local past = first_that(first, log.n, function(entry)
    return time(log, entry) > at
  end)
  local start = sum_before(log, first)
  local there = between(start, sum_before(log, past))
  local taken = math.min(units, there)
  local left = there - taken
  local from = first_that(first, past, function(entry)
    return between(start, sum_before(log, entry + 1)) > left
  end)
  local rest = from < past and minus(left, between(start, sum_before(log, from))) or 0
  local newest = log.newest
  if past == log.n and from < past then
    newest = time(log, rest > 0 and from or math.max(from - 1, 0))
  end
  return taken, newest, { log = log, from = from, rest = rest, past = past, taken = taken }
end

function strategy.step(ask, log)
  local limit, period = ask[1], ask[2]
  local cost, op = ask.cost, ask.op
  if log and not believable(log.newest, ask.now, period) then
    log = nil
  end
  -- A clock that stepped back stands still for this client.
  local now = log and math.max(log.newest, ask.now) or ask.now
  local first, used = 0, 0
  if log then
    first = log.n
    if log.newest + period > now then
      first = first_that(0, log.n, function(entry)
        return time(log, entry) + period > now
      end)
    end
    used = between(sum_before(log, first), log.sum)
  end

  local function leaves(instant)
    return math.max(instant - ask.now + period, 0)
  end
  local admitted, wait, after, next = 1, 0, used, nil
  local keep = used > 0 and leaves(log.newest) or 0
  if op == 'hit' or op == 'check' then
    if cost > limit then
      admitted, wait = 0, NEVER
    elseif used > limit or cost > limit - used then
      admitted = 0
      local units = used > limit and used - limit + cost or cost - (limit - used)
      local start = sum_before(log, first)
      local entry = first_that(first, log.n - 1, function(entry)
        return between(start, sum_before(log, entry + 1)) >= units
      end)
      wait = leaves(math.min(time(log, entry), log.newest))
    elseif op == 'hit' and cost > 0 then
      after, keep = used + cost, leaves(now)
      next = { log = log, first = first, now = now, cost = cost }
    end
  elseif op == 'refund' then
    next = false
    if used > 0 then
      local taken, newest, change = take_newest(log, first, ask.at or now, cost)
      after = minus(used, taken)
      keep = after > 0 and leaves(newest) or 0
      if after > 0 then
        -- Of a charge that has left, nothing is there to be taken.
        next = taken > 0 and change or nil
      end
    end
  else
    after, keep, next = 0, 0, false
  end
  return { admitted, limit, after, minus(limit, after), wait, keep, keep }, next
end

-- Appends an entry.
local function append(key, log, first, now, cost, ttl)
  local sum = log and log.sum or 0
  sum = sum >= EXACT - cost and sum - (EXACT - cost) or sum + cost
  local entry = struct.pack('<I8I8', now, sum)
  -- Where the log ends: all that is free repeats the last entry again.
  local past = log and log.n or 0
  if log and log.has_free and first < log.n then
    past = 1 + first_that(math.max(first, log.n - NEAR - 1), log.n - 1, function(entry)
      return sum_before(log, entry + 1) == log.sum
    end)
  end
  local kept = past - first
  local place = kept > 0 and log.newest == now and past - 1 or past
  if first >= kept then
    -- As many entries are dropped as are moved, so every entry pays for one move.
    local before = log and sum_before(log, first) or 0
    local rest = ''
    if place > first then
      rest = redis.call('GETRANGE', key, 9 + 16 * first, 8 + 16 * place)
    end
    redis.call('SET', key, '=' .. struct.pack('<I8', before) .. rest .. entry, 'PX', ttl)
    return
  end
  if place < log.n then
    redis.call('SETRANGE', key, 9 + 16 * place, string.rep(entry, log.n - place))
  else
    redis.call('APPEND', key, entry)
  end
  redis.call('PEXPIRE', key, ttl)
end

-- How many entries are rewritten at once: a Lua call per entry costs twice as much.
local AT_ONCE = 50
local FORMAT = '<' .. string.rep('I8I8', AT_ONCE)

-- Returns entries with sums that are `units` lower, modulo 2^53.
local function lowered(entries, units)
  local parts, size = {}, 16 * AT_ONCE
  local whole = #entries - #entries % size
  for place = 1, whole, size do
    local numbers = { struct.unpack(FORMAT, entries, place) }
    for sum = 2, 2 * AT_ONCE, 2 do
      numbers[sum] = between(units, numbers[sum] % EXACT)
    end
    parts[#parts + 1] = struct.pack(FORMAT, unpack(numbers, 1, 2 * AT_ONCE))
  end
  for place = whole + 1, #entries, 16 do
    local instant, sum = struct.unpack('<I8I8', entries, place)
    parts[#parts + 1] = struct.pack('<I8I8', instant, between(units, sum % EXACT))
  end
  return table.concat(parts)
end

-- The remainder of the entry that a refund has shortened, if there is one. `before` is the sum before it.
local function remainder(log, change, before)
  if change.rest == 0 then
    return ''
  end
  local sum = before >= EXACT - change.rest and before - (EXACT - change.rest) or before + change.rest
  return struct.pack('<I8I8', time(log, change.from), sum)
end

-- Writes what a refund has left: the entries before `from`, the remainder of that one, and those
-- from `past` on. Only the differences between sums count. So either the later ones are lowered by
-- what was taken or the earlier ones are raised, whichever are fewer.
local function rewrite(key, change, ttl)
  local log, from, past = change.log, change.from, change.past
  local before, sum = log.before, sum_before(log, from)
  local later = redis.call('GETRANGE', key, 9 + 16 * past, -1)
  if from > 0 and log.n - from <= NEAR then
    local rest = remainder(log, change, sum) .. lowered(later, change.taken)
    local last = rest ~= '' and string.sub(rest, -16) or redis.call('GETRANGE', key, 16 * from - 7, 16 * from + 8)
    local free = log.n - from - #rest / 16
    redis.call('SETRANGE', key, 9 + 16 * from, rest .. string.rep(last, free))
    redis.call('PEXPIRE', key, ttl)
    return
  end
  local earlier = redis.call('GETRANGE', key, 9, 8 + 16 * from)
  if #later <= #earlier then
    later = lowered(later, change.taken)
  else
    local up = EXACT - change.taken
    before, earlier, sum = between(up, before), lowered(earlier, up), between(up, sum)
  end
  local value = '=' .. struct.pack('<I8', before) .. earlier .. remainder(log, change, sum) .. later
  redis.call('SET', key, value, 'PX', ttl)
end

function strategy.save(key, next, ttl)
  if next.cost then
    append(key, next.log, next.first, next.now, next.cost, ttl)
  else
    rewrite(key, next, ttl)
  end
end
