-- What the stand-ins for darktable and Lightroom share: the scenario, events, and a disk that ends at the test's folder.
-- lua5.1 DRIVER SCENARIO: the scenario is a Lua file that returns a table; one event a line goes to stdout.

local here = arg[0]:match("^(.*)/")
local M = { scenario = dofile(arg[1]) }

function M.event(name, ...)
  local words = {}
  for _, word in ipairs({ ... }) do
    words[#words + 1] = tostring(word):gsub("\n", "\\n")
  end
  print(name .. "\t" .. table.concat(words, "\t"))
end

--- Whether a path is in the folder of the test: programs that this machine happens to have are not seen.
function M.visible(path)
  return path:sub(1, #M.scenario.root) == M.scenario.root
end

function M.exists(path)
  local file = M.visible(path) and M.open(path, "rb")
  if file then file:close() end
  return file and true or false
end

M.open = io.open
io.open = function(path, mode)
  if not M.visible(path) then return nil, "not in the test's folder" end
  return M.open(path, mode)
end

if M.scenario.decimal_comma then
  local format = string.format
  string.format = function(pattern, ...)
    local text = format(pattern, ...)
    if pattern:find("f", 1, true) then text = text:gsub("(%d)%.(%d)", "%1,%2") end
    return text
  end
end

package.path = here .. "/?.lua"
return M
