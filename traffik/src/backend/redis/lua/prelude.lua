-- Exact integers. Comes first in every script, before the strategies in use and main.lua.
--
-- A Lua number is an IEEE double: every integer up to 2^53 is exact, and so are the sum, the
-- difference and the quotient's floor of two such integers while the result stays there. A product
-- may exceed 2^53; `muldiv` is for those.
--
-- Each strategy's file adds one entry to `strategies`:
--   arity         how many arguments follow its cost in ARGV
--   read(raw)     its state from the stored string, or nil if it cannot be read
--   write(state)  the string to store
--   or, where the whole of a state is too much to be read or written at every hit:
--   open(length, key)     its state, or nil if it cannot be read
--   save(key, next, ttl)  stores what `step` returned, to expire after `ttl` ms
--   step(ask, state) -> verdict, next
--     ask      { op, now, at, gone_at, cost, [1..arity] = arguments }
--     state    what `read` or `open` returned, or nil for an account that is full
--     verdict  { admitted (1 or 0), limit, used, remaining, wait, reset_after, keep_for }
--     next     nil: leave the state as it is; false: delete it; else the state to store
--   A step only computes: it calls neither Redis nor the clock, and it does not change `state`. A
--   step on an opened state may read its key.

local floor, format, match = math.floor, string.format, string.match

local EXACT = 9007199254740992 -- 2^53
local NEVER = -1               -- a wait without end

local strategies = {}

-- floor(a / b). The division rounds to the nearest double, which is never the next integer: the
-- true quotient is at least 1/b short of it, and half a unit in its last place is less than that.
local function div(a, b)
  return floor(a / b)
end

-- ceil(a / b)
local function ceil_div(a, b)
  local quotient = floor(a / b)
  if quotient * b < a then
    return quotient + 1
  end
  return quotient
end

-- How far ahead of the clock a state is believed, unless its own span is longer: one day.
local FAR = 86400000000

-- Whether a state written at `last` may be genuine: the twin of strategy/skew.rs.
local function believable(last, now, span)
  return last - now <= FAR or last - now <= span
end

-- max(a - b, 0)
local function minus(a, b)
  if a > b then
    return a - b
  end
  return 0
end

-- floor(a * b / c) and the remainder, for a, b below 2^53, 0 < c < 2^53, and a quotient below 2^53.
-- Binary long multiplication that divides as it goes. 2r is exact, because doubling only changes
-- the exponent; r + s is taken modulo c without ever exceeding it.
local function muldiv(a, b, c)
  if a * b < EXACT then
    local product = a * b
    local quotient = floor(product / c)
    return quotient, product - quotient * c
  end
  if a > b then
    a, b = b, a
  end
  local whole = floor(b / c)
  local part = b - whole * c
  local bits, count = {}, 0
  while a > 0 do
    count = count + 1
    bits[count] = a % 2
    a = floor(a / 2)
  end
  local quotient, rest = 0, 0
  for i = count, 1, -1 do
    quotient, rest = quotient * 2, rest * 2
    if rest >= c then
      quotient, rest = quotient + 1, rest - c
    end
    if bits[i] == 1 then
      quotient = quotient + whole
      if rest >= c - part then
        quotient, rest = quotient + 1, rest - (c - part)
      else
        rest = rest + part
      end
    end
  end
  return quotient, rest
end

-- A state of two integers, "w0 w1" in decimal, as the in-memory store keeps it.
local words = {}

function words.read(raw)
  local first, second = match(raw, '^(%d+) (%d+)$')
  first, second = tonumber(first or ''), tonumber(second or '')
  if first and second and first < EXACT and second < EXACT then
    return { first, second }
  end
  return nil
end

function words.write(state)
  return format('%.0f %.0f', state[1], state[2])
end

-- Returns the first of from .. to - 1 for which `holds`, if it holds for all later ones; else `to`.
local function first_that(from, to, holds)
  while from < to do
    local middle = floor((from + to) / 2)
    if holds(middle) then
      to = middle
    else
      from = middle + 1
    end
  end
  return from
end

-- Returns some integers from within a state of bytes: '=', then integers of 8 bytes, little-endian,
-- as the in-memory store keeps them. `place` counts from 0; `count` is 1 or 3.
local function integers(key, place, count)
  local from = 1 + 8 * place
  local raw = redis.call('GETRANGE', key, from, from + 8 * count - 1)
  if count == 1 then
    return (struct.unpack('<I8', raw))
  end
  return struct.unpack('<I8I8I8', raw)
end
