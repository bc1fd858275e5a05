-- Find the program rawkd and run it.
-- installed by: rawkd integrate lightroom    (it replaces and removes only files with this line)

local LrFileUtils = import "LrFileUtils"
local LrPathUtils = import "LrPathUtils"
local LrTasks = import "LrTasks"

local INSTALLED_PROGRAM = "@RAWKD@" -- filled in by `rawkd integrate`
local NOT_FOUND = "rawkd was not found. Install it, or give the path of the program in this plug-in's dialog."

local Program = {}

local function quoted(text)
  if WIN_ENV then return '"' .. text .. '"' end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Return what went wrong by the output of rawkd: its error, or the last line.
local function reason_in(text)
  local reason = "it printed no reason"
  for line in (text or ""):gmatch("[^\r\n]+") do
    local sentence = line:match("^error: (.*)")
    if sentence then return sentence end
    if line:match("%S") then reason = line end
  end
  return reason
end

--- Run a program; return nil, or what went wrong. Call it in a task: Lightroom stays usable meanwhile.
function Program.failure_of(program, arguments)
  local folder = LrPathUtils.getStandardFilePath("temp")
  local log = LrFileUtils.chooseUniqueFileName(LrPathUtils.child(folder, "rawkd.log"))
  local words = { quoted(program) }
  for _, argument in ipairs(arguments) do
    words[#words + 1] = quoted(argument)
  end
  local command = table.concat(words, " ") .. " > " .. quoted(log) .. " 2>&1"
  if WIN_ENV then command = '"' .. command .. '"' end -- cmd.exe removes the outer pair
  local failure = nil
  if LrTasks.execute(command) ~= 0 then
    failure = reason_in(LrFileUtils.exists(log) and LrFileUtils.readFile(log))
  end
  LrFileUtils.delete(log)
  return failure
end

local function common_places()
  local home = LrPathUtils.getStandardFilePath("home")
  if WIN_ENV then
    return {
      home .. "\\.local\\bin\\rawkd.exe",
      home .. "\\AppData\\Local\\Programs\\rawkd\\rawkd.exe",
    }
  end
  return { home .. "/.local/bin/rawkd", "/opt/homebrew/bin/rawkd", "/usr/local/bin/rawkd", "/opt/rawkd/rawkd" }
end

--- Return the program to run, or nil and what went wrong. `chosen` is the user's own path, or "".
function Program.find(chosen)
  if chosen ~= "" then
    if LrFileUtils.exists(chosen) then return chosen end
    return nil, chosen .. " does not exist. Give the path of the program in this plug-in's dialog, or leave it empty."
  end
  if LrFileUtils.exists(INSTALLED_PROGRAM) then return INSTALLED_PROGRAM end
  if not Program.failure_of("rawkd", { "--version" }) then return "rawkd" end
  for _, place in ipairs(common_places()) do
    if LrFileUtils.exists(place) then return place end
  end
  return nil, NOT_FOUND
end

return Program
