-- A sliding window, from two counters: the twin of strategy/sliding_window.rs (and window_counts.rs).
--
-- Arguments: limit, period (µs), bits of either count that are added to a window's start (0 to 22).
-- State:     the window's start, the count of the window before and its own, packed as in window_counts.rs:
--            the second word holds the low 22 bits of either count, then 4 more of either, the newer
--            one first; the start has what is left of them added to it, which is less than a period.
-- Returns:   verdict and next state, as prelude.lua says.

strategies.sliding_window = { arity = 3, read = words.read, write = words.write }

-- The first age of a window at which floor(fading * age / period) >= need.
local function age_when_gone(need, fading, period)
  if need == 0 then
    return 0
  end
  local age, rest = muldiv(need, period, fading)
  return rest > 0 and age + 1 or age
end

-- Returns the low end of a number, and what is above it.
local function split(number, size)
  local above = floor(number / size)
  return number - above * size, above
end

local LOW, MIDDLE = 2 ^ 22, 2 ^ 4

function strategies.sliding_window.step(ask, state)
  local limit, period, high = ask[1], ask[2], 2 ^ ask[3]
  local now, cost, op = ask.now, ask.cost, ask.op

  -- The counts as they stand: an older window is dropped, a later one stays.
  local index, older, newer = floor(now / period), 0, 0
  if state then
    local rest, kept = split(state[1], period)
    local newer_high, older_high = split(rest, high)
    local newer_low, above = split(state[2], LOW)
    local older_low, middle = split(above, LOW)
    local newer_middle, older_middle = split(middle, MIDDLE)
    local kept_newer = (newer_high * MIDDLE + newer_middle) * LOW + newer_low
    local kept_older = (older_high * MIDDLE + older_middle % MIDDLE) * LOW + older_low
    if believable(kept * period, now, period) then
      if kept >= index then
        index, older, newer = kept, kept_older, kept_newer
      elseif kept + 1 == index then
        older = kept_newer
      end
    end
  end
  local start = index * period
  -- A window ahead of the clock has only just begun.
  local since = now - start
  local age = math.max(since, 0)
  local function weigh()
    return older - (muldiv(older, age, period)) + newer
  end
  local before = weigh()

  local admitted, wait = 1, 0
  if op == 'hit' or op == 'check' then
    if cost > limit then
      admitted, wait = 0, NEVER
    elseif before > limit or cost > limit - before then
      admitted = 0
      -- In this window the older count must fade; in the next one the newer, and nothing is added.
      local taken = newer + cost
      if taken <= limit then
        wait = age_when_gone(older - (limit - taken), older, period) - since
      else
        wait = period - since + age_when_gone(taken - limit, newer, period)
      end
    elseif op == 'hit' then
      newer = newer + cost
    end
  elseif op == 'refund' then
    local window = ask.at and floor(ask.at / period) or index
    if window >= index then
      newer = minus(newer, cost)
    elseif window + 1 == index then
      older = minus(older, cost)
    end
  else
    older, newer = 0, 0
  end

  local next
  if op ~= 'check' and admitted == 1 then
    local newer_low, newer_above = split(newer, LOW)
    local older_low, older_above = split(older, LOW)
    local newer_middle, newer_high = split(newer_above, MIDDLE)
    local older_middle, older_high = split(older_above, MIDDLE)
    local second = ((older_middle * MIDDLE + newer_middle) * LOW + older_low) * LOW + newer_low
    next = older + newer > 0 and { start + older_high * high + newer_high, second }
  end
  local used = weigh()
  local keep = 0
  if newer > 0 then
    keep = 2 * period - since
  elseif older > 0 then
    keep = period - since
  end
  return { admitted, limit, used, minus(limit, used), wait, keep, keep }, next
end
