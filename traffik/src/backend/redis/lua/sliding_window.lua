-- A window that slides, from two counters: the twin of strategy/sliding_window.rs (and pair.rs).
--
-- Arguments: limit, period (µs), bits of a count (27 to 52; the limit fits in them).
-- State:     the window's index, the count of the window before and its own, packed as in pair.rs:
--            the newer count fills the low end of the second word, the older one the rest of it
--            and the low end of the first, the index the rest of that.
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

function strategies.sliding_window.step(ask, state)
  local limit, period, bits = ask[1], ask[2], ask[3]
  local now, cost, op = ask.now, ask.cost, ask.op
  local count, high, low = 2 ^ bits, 2 ^ (2 * bits - 53), 2 ^ (53 - bits)

  -- The counts as they stand: an older window is left behind, a later one stays.
  local index, older, newer = floor(now / period), 0, 0
  if state then
    local kept, part = floor(state[1] / high), floor(state[2] / count)
    local kept_older = (state[1] - kept * high) * low + part
    local kept_newer = state[2] - part * count
    if believable(kept * period, now, period) then
      if kept >= index then
        index, older, newer = kept, kept_older, kept_newer
      elseif kept + 1 == index then
        older = kept_newer
      end
    end
  end
  local start = index * period
  -- A window ahead of the clock has only begun.
  local age = minus(now, start)
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
        wait = start + age_when_gone(older - (limit - taken), older, period) - now
      else
        wait = start + period + age_when_gone(taken - limit, newer, period) - now
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
    local part = floor(older / low)
    next = older + newer > 0 and { index * high + part, (older - part * low) * count + newer }
  end
  local used = weigh()
  local keep = 0
  if newer > 0 then
    keep = start + 2 * period - now
  elseif older > 0 then
    keep = start + period - now
  end
  return { admitted, limit, used, minus(limit, used), wait, keep, keep }, next
end
