-- One operation of the quota's book, all of it or nothing. Amounts stay texts: a number of Lua's holds 53 bits only.
-- KEYS: edition, lapsed reservations, then for each line: counter (t: used and reserved, u: used, p…: parts of a rolling
--       window, n: what it counts), live reservations. Members of these are "id:amount", of those that lapsed
--       "counter:id:amount"; their score is when they lapse or did.
-- ARGV: op, now, id, expires, edition, then for each line: id of the counter, what it counts, amount, limit, hard, actual,
--       actual - amount, part, gone, seconds after which the counter may be forgotten.
-- Returns 0 (done) or -2 (done, but it had lapsed) and t, u, oldest part of each line; the number of a line that refuses
-- and its three; or -1 (stale). The last is how many have lapsed now: that is looked for where a limit is reached, looked
-- at or renewed, and by every sixteenth reservation. Of a reservation that fits the u is nil: nobody
-- asks, and every call of Redis costs 1 µs.
local op, now, id, expires = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call = redis.call
local lapsed = KEYS[2]
local lines = (#KEYS - 2) / 2
local swept = 0

local function is_more(a, b)
  return #a > #b or (#a == #b and a > b)
end

-- The sum after adding: the number that Redis answers where that is exact, else its text.
local function exact(sum, counter, field)
  return sum < 9007199254740992 and sum or call('HGET', counter, field)
end

local function is_over(sum, limit)
  if type(sum) == 'number' then
    return sum > tonumber(limit)
  end
  return is_more(sum, limit)
end

local function sweep(counter, live, name, counts)
  local due = call('ZRANGEBYSCORE', live, '-inf', now, 'LIMIT', 0, 1000)
  for _, member in ipairs(due) do
    call('ZREM', live, member)
    call('ZADD', lapsed, now, name .. ':' .. member)
    call('HINCRBY', counter, 't', '-' .. string.match(member, '%d+$'))
  end
  if #due > 0 then
    swept = swept + #due
    call('HSET', counter, 'n', counts)
    call('ZREMRANGEBYSCORE', lapsed, '-inf', now - 86400000000)
    call('EXPIRE', lapsed, 86400)
  end
end

local function keep(key, seconds)
  if seconds ~= '' then
    call('EXPIRE', key, seconds)
  end
end

local function roll(counter, gone)
  local oldest = ''
  local fields = call('HGETALL', counter)
  for at = 1, #fields, 2 do
    if string.sub(fields[at], 1, 1) == 'p' then
      local part = string.sub(fields[at], 2)
      if is_more(gone, part) then
        call('HINCRBY', counter, 't', '-' .. fields[at + 1])
        call('HINCRBY', counter, 'u', '-' .. fields[at + 1])
        call('HDEL', counter, fields[at])
      elseif oldest == '' or is_more(oldest, part) then
        oldest = part
      end
    end
  end
  return oldest
end

if op == 'reserve' or op == 'again' then
  if (call('GET', KEYS[1]) or '0') ~= ARGV[5] then
    return { -1 }
  end
  if op == 'again' and lines > 0 and call('ZSCORE', KEYS[4], id .. ':' .. ARGV[8]) then
    op = 'look' -- it was done already, and only the answer was lost
  end
end

local reply = { 0 }
for line = 1, lines do
  local counter, live = KEYS[line * 2 + 1], KEYS[line * 2 + 2]
  local at = line * 10 - 4
  local name, counts, amount, limit, hard = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local actual, change, part, gone, kept = ARGV[at + 5], ARGV[at + 6], ARGV[at + 7], ARGV[at + 8], ARGV[at + 9]
  local member = id .. ':' .. amount
  local taken, used, oldest = nil, false, ''
  if op == 'renew' or op == 'look' or string.byte(id, -1) == 48 then
    sweep(counter, live, name, counts)
  end
  if part ~= '' then
    oldest = roll(counter, gone)
  end
  if op == 'settle' then
    local was_live = call('ZREM', live, member) == 1
    if was_live or call('ZREM', lapsed, name .. ':' .. member) == 1 then
      if not was_live then
        reply[1] = -2
      end
      taken = exact(call('HINCRBY', counter, 't', was_live and change or actual), counter, 't')
      used = exact(call('HINCRBY', counter, 'u', actual), counter, 'u')
      if part ~= '' and actual ~= '0' and call('HINCRBY', counter, 'p' .. part, actual) == tonumber(actual) then
        keep(counter, kept)
        keep(live, kept)
      end
    end
  elseif op == 'renew' then
    if call('ZREM', lapsed, name .. ':' .. member) == 1 then
      reply[1] = -2
      call('HINCRBY', counter, 't', amount)
      call('ZADD', live, expires, member)
    else
      call('ZADD', live, 'XX', expires, member)
    end
  elseif op ~= 'look' then
    local sum = call('HINCRBY', counter, 't', amount)
    local is_first = sum == tonumber(amount)
    if is_first then
      keep(counter, kept)
    end
    taken = exact(sum, counter, 't')
    local over = is_over(taken, limit)
    if over then
      sweep(counter, live, name, counts)
      taken = call('HGET', counter, 't')
      over = is_more(taken, limit)
    end
    if over and hard == '1' then
      for back = 1, line do
        call('HINCRBY', KEYS[back * 2 + 1], 't', '-' .. ARGV[back * 10 - 2])
        if back < line then
          call('ZREM', KEYS[back * 2 + 2], id .. ':' .. ARGV[back * 10 - 2])
        end
      end
      local level = call('HMGET', counter, 't', 'u')
      return { line, level[1], level[2], oldest, swept }
    end
    call('ZADD', live, expires, member)
    if is_first then
      keep(live, kept)
    end
    if over then
      used = call('HGET', counter, 'u')
    end
  end
  if not taken then
    local level = call('HMGET', counter, 't', 'u')
    taken, used = level[1], level[2]
  end
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = taken, used, oldest
end
reply[#reply + 1] = swept
return reply
