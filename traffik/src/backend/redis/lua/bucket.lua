-- A leaking account: the twin of strategy/bucket.rs, shared by token bucket, leaky bucket and GCRA.
--
-- Arguments: capacity, debt (units of cost); leak, unit (the rate limit / period in lowest terms:
--            a unit of cost counts `unit`, and each µs takes `leak` of it).
--            (capacity + debt) * unit is below 2^53, which the builder has checked.
-- State:     an instant (µs since the Unix epoch), and what was in use then (times `unit`).
-- Returns:   verdict and next state, as prelude.lua says.

strategies.bucket = { arity = 4, read = words.read, write = words.write }

function strategies.bucket.step(ask, state)
  local capacity, debt, leak, unit = ask[1], ask[2], ask[3], ask[4]
  local cost, op = ask.cost, ask.op
  local most = capacity + debt
  local total = most * unit

  local last, kept = ask.now, 0
  if state and believable(state[1], ask.now, ceil_div(total, leak)) then
    last, kept = state[1], math.min(state[2], total)
  end
  -- A clock that stepped back stands still for this client.
  local now = math.max(last, ask.now)
  local ahead = now - ask.now
  -- The products with `leak`, and a refund's with `unit`, may exceed 2^53 and round; they then stay
  -- above it, and so above what they are subtracted from.
  local used = minus(kept, (now - last) * leak)

  local admitted, wait, after = 1, 0, used
  if op == 'hit' or op == 'check' then
    if cost > most then
      admitted, wait = 0, NEVER
    else
      local charge, room = cost * unit, total - used
      if charge <= room then
        after = used + charge
      else
        admitted, wait = 0, ceil_div(charge - room, leak) + ahead
      end
    end
  elseif op == 'refund' then
    -- What has leaked of the charge is gone; the rest of the level is newer.
    local back = cost * unit
    if ask.gone_at then
      back = math.min(back, minus(ask.gone_at, now) * leak)
    end
    after = minus(used, back)
  else
    after = 0
  end

  local next
  if op ~= 'check' and admitted == 1 then
    next = after > 0 and { now, after }
  end
  local shown = op == 'check' and used or after
  local remaining = div(total - shown, unit)
  local reset_after = shown == 0 and 0 or ceil_div(shown, leak) + ahead
  return { admitted, capacity, most - remaining, remaining, wait, reset_after, reset_after }, next
end
