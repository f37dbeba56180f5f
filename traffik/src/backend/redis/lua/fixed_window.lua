-- A count per calendar window: the twin of strategy/fixed_window.rs (and window.rs).
--
-- Arguments: limit, period (µs), shift of the window's grid (µs, below the period; 0 unless
--            staggered).
-- State:     the window's start (µs since the Unix epoch), what was used in it.
-- Returns:   verdict and next state, as prelude.lua says.

strategies.fixed_window = { arity = 3, read = words.read, write = words.write }

-- Returns the start of the window around `now`, and how long it lasts from then on.
local function window_around(now, period, shift)
  local into = (now - shift) % period
  -- A shifted grid's first window begins before the epoch, and is cut off there.
  return minus(now, into), period - into
end

function strategies.fixed_window.step(ask, state)
  local limit, period, shift = ask[1], ask[2], ask[3]
  local now, cost, op = ask.now, ask.cost, ask.op

  -- The current window, or a later one that the state has seen.
  local start, reset = window_around(now, period, shift)
  local used = 0
  if state and state[1] >= start then
    local ahead = state[1] - now
    if ahead < reset then
      used = state[2]
    elseif believable(state[1], now, period) then
      used = state[2]
      start, reset = window_around(state[1], period, shift)
      reset = ahead + reset
    end
  end

  local admitted, wait, after = 1, 0, used
  if op == 'hit' or op == 'check' then
    if used + cost <= limit then
      after = used + cost
    elseif cost > limit then
      admitted, wait = 0, NEVER
    else
      admitted, wait = 0, reset
    end
  elseif op == 'refund' then
    -- Charges are gone with the window they were made in.
    if not ask.at or ask.at >= start then
      after = minus(used, cost)
    end
  else
    after = 0
  end

  local next
  if op ~= 'check' and admitted == 1 then
    next = after > 0 and { start, after }
  end
  local shown = op == 'check' and used or after
  local reset_after = shown == 0 and 0 or reset
  return { admitted, limit, shown, minus(limit, shown), wait, reset_after, reset_after }, next
end
