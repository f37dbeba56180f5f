-- Decides a batch. Comes last in every script, after prelude.lua and the strategies in use.
--
-- KEYS    one account per hit, all different.
-- ARGV    [1]  now in µs since the Unix epoch, or '' to ask the server
--         [2]  hit | check | refund | settle | reset
--         then for each key, in order:
--              the strategy's name; the cost (at most 2^53; negative to refund it in a settle); in a
--              refund or settle, when the charge was made (µs), or '' for now, and when nothing of it
--              is left (µs), or '' if unknown; and as many arguments as the strategy takes
-- Returns { now, unreadable, then for each key
--           admitted (1 or 0), limit, used, remaining, wait (-1: never), reset_after, keep_for }
--         `unreadable` counts the keys whose value was not a valid state, and was deleted.
--
-- A settle refunds, or takes as much as there is room for; `wait` then says how much found no room. A hit
-- charges every account, or none if one is refused; the verdicts then say how each stands. Whatever is
-- written expires once it no longer matters: never sooner, and at most 1 s later.

local now = tonumber(ARGV[1])
-- A caller that passes the time in uses its own clock: allow for its skew, as far as the bound
-- permits.
local slack = 999
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
  -- The server counts expiry from the millisecond that contains `now`.
  slack = 1
end
local op = ARGV[2]

local accounts, place, unreadable = {}, 3, 0
for index, key in ipairs(KEYS) do
  local strategy = strategies[ARGV[place]]
  local ask = { op = op, now = now, cost = tonumber(ARGV[place + 1]) }
  place = place + 2
  if op == 'refund' or op == 'settle' then
    ask.at, ask.gone_at = tonumber(ARGV[place]), tonumber(ARGV[place + 1])
    place = place + 2
  end
  for argument = 1, strategy.arity do
    ask[argument] = tonumber(ARGV[place + argument - 1])
  end
  place = place + strategy.arity

  -- An opened state is not read as a whole; its length shows that it exists.
  local raw = redis.pcall(strategy.open and 'STRLEN' or 'GET', key)
  local state
  if type(raw) == 'table' then
    -- A value of another type under our key is not valid state; any other error is not ours to hide.
    if not string.find(raw.err, 'WRONGTYPE', 1, true) then
      return raw
    end
  elseif raw == 0 then
    raw = nil
  elseif raw then
    state = (strategy.read or strategy.open)(raw, key)
  end
  if raw and not state then
    redis.call('DEL', key)
    unreadable = unreadable + 1
  end
  accounts[index] = { key = key, strategy = strategy, ask = ask, state = state }
end

local reply = { now, unreadable }

-- Corrects each account separately, in the steps that every strategy knows: the twin of Hit::settle.
local function settle(account)
  local ask, step = account.ask, account.strategy.step
  local cost = ask.cost
  if cost < 0 then
    ask.op, ask.cost = 'refund', -cost
    return step(ask, account.state)
  end
  ask.op = 'check'
  local verdict, next = step(ask, account.state)
  local fits = verdict[1] == 1 and cost or math.min(verdict[4], cost)
  if fits > 0 then
    ask.op, ask.cost = 'hit', fits
    verdict, next = step(ask, account.state)
  else
    verdict[1], next = 0, nil
  end
  local taken = verdict[1] == 1 and fits or 0
  verdict[1], verdict[5] = 1, cost - taken
  return verdict, next
end

-- Takes one step for every account; returns whether all were admitted.
local function round(kind)
  local all, size = true, 2
  for _, account in ipairs(accounts) do
    local verdict
    if kind == 'settle' then
      verdict, account.next = settle(account)
    else
      account.ask.op = kind
      verdict, account.next = account.strategy.step(account.ask, account.state)
    end
    account.keep_for = verdict[7]
    all = all and verdict[1] == 1
    for field = 1, 7 do
      reply[size + field] = verdict[field]
    end
    size = size + 7
  end
  return all
end

-- A single hit needs no check in advance.
if op == 'hit' and #accounts > 1 then
  if not round('check') then
    return reply
  end
end
round(op)

for _, account in ipairs(accounts) do
  if account.next then
    local ttl = ceil_div(account.keep_for, 1000) + slack
    ttl = format('%.0f', ttl)
    if account.strategy.save then
      account.strategy.save(account.key, account.next, ttl)
    else
      redis.call('SET', account.key, account.strategy.write(account.next), 'PX', ttl)
    end
  elseif account.next == false and account.state then
    redis.call('DEL', account.key)
  end
end

return reply
