-- One operation of the quota's book, all of it or nothing. Amounts stay texts: a number of Lua's holds 53 bits only.
-- KEYS: edition, then for each line: counter (t: used and reserved, u: used, p…: parts of a rolling window),
--       live reservations, lapsed ones. Members of these are "id:amount", their score is when they lapse or did.
-- ARGV: op, now, id, expires, edition, then for each line: amount, limit, hard, actual, actual - amount, part, gone.
-- Returns 0 (done) or -2 (done, but it had lapsed) and t, u, oldest part of each line; the number of a line that refuses
-- and its three; or -1 (stale).
local op, now, id, expires = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local call = redis.call
local lines = (#KEYS - 1) / 3

local function is_more(a, b)
  return #a > #b or (#a == #b and a > b)
end

local function sweep(counter, live, lapsed)
  local due = call('ZRANGEBYSCORE', live, '-inf', now, 'LIMIT', 0, 1000)
  for _, member in ipairs(due) do
    call('ZREM', live, member)
    call('ZADD', lapsed, now, member)
    call('HINCRBY', counter, 't', '-' .. string.match(member, '%d+$'))
  end
  if #due > 0 then
    call('EXPIRE', lapsed, 86400)
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
  if op == 'again' and lines > 0 and call('ZSCORE', KEYS[3], id .. ':' .. ARGV[6]) then
    op = 'look' -- it was done already, and only the answer was lost
  end
end

local reply = { 0 }
for line = 1, lines do
  local counter, live, lapsed = KEYS[line * 3 - 1], KEYS[line * 3], KEYS[line * 3 + 1]
  local at = line * 7 - 1
  local amount, limit, hard, actual, change, part, gone =
    ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6]
  local member = id .. ':' .. amount
  local oldest = ''
  if op ~= 'settle' then
    sweep(counter, live, lapsed)
  end
  if part ~= '' then
    oldest = roll(counter, gone)
  end
  if op == 'settle' then
    local was_live = call('ZREM', live, member) == 1
    if was_live or call('ZREM', lapsed, member) == 1 then
      if not was_live then
        reply[1] = -2
      end
      call('HINCRBY', counter, 't', was_live and change or actual)
      if actual ~= '0' then
        call('HINCRBY', counter, 'u', actual)
        if part ~= '' then
          call('HINCRBY', counter, 'p' .. part, actual)
        end
      end
    end
  elseif op == 'renew' then
    if call('ZREM', lapsed, member) == 1 then
      reply[1] = -2
      call('HINCRBY', counter, 't', amount)
      call('ZADD', live, expires, member)
    else
      call('ZADD', live, 'XX', expires, member)
    end
  elseif op ~= 'look' then
    call('HINCRBY', counter, 't', amount)
    if hard == '1' and is_more(call('HGET', counter, 't'), limit) then
      for back = 1, line do
        call('HINCRBY', KEYS[back * 3 - 1], 't', '-' .. ARGV[back * 7 - 1])
        if back < line then
          call('ZREM', KEYS[back * 3], id .. ':' .. ARGV[back * 7 - 1])
        end
      end
      local level = call('HMGET', counter, 't', 'u')
      return { line, level[1], level[2], oldest }
    end
    call('ZADD', live, expires, member)
  end
  local level = call('HMGET', counter, 't', 'u')
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = level[1], level[2], oldest
end
return reply
