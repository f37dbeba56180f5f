-- A strict queue whose entries leave as a whole: the twin of strategy/leaky_queue.rs (and queue.rs).
--
-- Arguments: limit, period (µs); leak, unit (the rate limit / period in lowest terms).
-- State:     '=', run (since when the queue has not been empty), start, last (the last change), base
--            (the sum before the first entry), then one sum per entry: integers of 8 bytes,
--            little-endian. An entry leaves at start + sum * unit / leak; those that have left stay
--            until they are as many as the others.
-- Returns:   verdict and next state, as prelude.lua says. A hit reads O(log n) entries and appends.

strategies.leaky_queue = { arity = 4 }
local strategy = strategies.leaky_queue

-- Where the sums begin, in bytes.
local HEAD = 33

function strategy.open(length, key)
  local raw = redis.call('GETRANGE', key, 0, HEAD - 1)
  if length < HEAD + 8 or length % 8 ~= 1 or string.byte(raw) ~= 61 then
    return nil
  end
  local n = (length - HEAD) / 8
  local run, start, last, base = struct.unpack('<I8I8I8I8', raw, 2)
  local total = integers(key, n + 3, 1)
  if run <= start and start <= last and last < EXACT and base <= total and total < EXACT then
    return { key = key, n = n, run = run, start = start, last = last, base = base, total = total }
  end
  return nil
end

-- The sum before an entry.
local function before(queue, entry)
  if entry == queue.n then
    return queue.total
  end
  return entry == 0 and queue.base or (integers(queue.key, entry + 3, 1))
end

-- Takes `units` from the end of the entries from `first` on. Returns how many entries are left, and
-- their sum.
local function shorten(queue, first, units)
  local total = math.max(minus(queue.total, units), before(queue, first))
  local last = first_that(first, queue.n - 1, function(entry)
    return before(queue, entry + 1) >= total
  end)
  return last + 1, total
end

function strategy.step(ask, queue)
  local limit, period, leak, unit = ask[1], ask[2], ask[3], ask[4]
  local cost, op = ask.cost, ask.op

  -- The sum up to which entries have left at an instant, and how long it takes until an entry leaves,
  -- rounded up to the microsecond from which it is gone.
  local function drained(at)
    return (muldiv(minus(at, queue.start), leak, unit))
  end
  local function leaves(start, sum)
    local wait, rest = muldiv(sum, unit, leak)
    return math.max(start - ask.now + wait + (rest > 0 and 1 or 0), 0)
  end

  if queue then
    -- At the last change, no more than a full queue can have been left.
    local gone = drained(queue.last)
    if queue.base > gone or queue.total > gone + limit or not believable(queue.last, ask.now, period) then
      queue = nil
    end
  end
  -- A clock that stepped back stands still for this client.
  local now = queue and math.max(queue.last, ask.now) or ask.now
  local first, level = 0, 0
  if queue then
    local gone = drained(now)
    if queue.total > gone then
      first = first_that(0, queue.n - 1, function(entry)
        return before(queue, entry + 1) > gone
      end)
      level = minus(queue.total, before(queue, first))
    end
  end

  local admitted, wait, after, next = 1, 0, level, nil
  local keep = level > 0 and leaves(queue.start, queue.total) or 0
  if op == 'hit' or op == 'check' then
    if cost > limit then
      admitted, wait = 0, NEVER
    elseif level > limit or cost > limit - level then
      admitted = 0
      local head, units = before(queue, first), level - limit + cost
      local entry = first_that(first, queue.n - 1, function(entry)
        return before(queue, entry + 1) - head >= units
      end)
      wait = leaves(queue.start, math.min(before(queue, entry + 1), queue.total))
    elseif op == 'hit' and cost > 0 then
      after = level + cost
      if level == 0 then
        next = { run = now, start = now, base = 0, sum = cost }
      else
        next = { queue = queue, first = first, run = queue.run, start = queue.start, sink = 0 }
        if queue.total >= EXACT - cost then
          -- The start advances by whole multiples of `unit`, and the sums decrease by whole
          -- multiples of `leak`.
          local turns = div(before(queue, first), leak)
          next.start, next.sink = queue.start + turns * unit, turns * leak
        end
        next.sum = queue.total - next.sink + cost
      end
      next.last = now
      keep = leaves(next.start, next.sum)
    end
  elseif op == 'refund' then
    if level == 0 then
      next = false
    elseif (not ask.gone_at or ask.gone_at > now) and (not ask.at or ask.at >= queue.run) then
      local count, total = shorten(queue, first, cost)
      after = total > drained(now) and minus(total, before(queue, first)) or 0
      keep = after > 0 and leaves(queue.start, total) or 0
      next = after > 0 and { queue = queue, last = now, count = count, total = total }
    end
  else
    after, keep, next = 0, 0, false
  end
  return { admitted, limit, after, minus(limit, after), wait, keep, keep }, next
end

local function head(run, start, last, base)
  return '=' .. struct.pack('<I8I8I8I8', run, start, last, base)
end

-- Appends an entry.
local function join(key, next, ttl)
  local queue, first, sum = next.queue, next.first, struct.pack('<I8', next.sum)
  if queue and queue.n - first > first and next.sink == 0 then
    redis.call('SETRANGE', key, 17, struct.pack('<I8', next.last))
    redis.call('APPEND', key, sum)
    redis.call('PEXPIRE', key, ttl)
    return
  end
  -- As many entries are dropped as are moved, so every entry pays for one move.
  local rest, base = '', 0
  if queue then
    base = before(queue, first) - next.sink
    rest = redis.call('GETRANGE', key, HEAD + 8 * first, -1)
  end
  if queue and next.sink > 0 then
    local sums = {}
    for place = 1, #rest, 8 do
      sums[#sums + 1] = struct.pack('<I8', minus((struct.unpack('<I8', rest, place)), next.sink))
    end
    rest = table.concat(sums)
  end
  redis.call('SET', key, head(next.run, next.start, next.last, base) .. rest .. sum, 'PX', ttl)
end

function strategy.save(key, next, ttl)
  if next.sum then
    join(key, next, ttl)
    return
  end
  -- A refund has left this many entries, the last of them perhaps shortened.
  local queue = next.queue
  local rest = redis.call('GETRANGE', key, HEAD, HEAD - 1 + 8 * (next.count - 1))
  local sum = struct.pack('<I8', next.total)
  redis.call('SET', key, head(queue.run, queue.start, next.last, queue.base) .. rest .. sum, 'PX', ttl)
end
