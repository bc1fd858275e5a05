--[[
Denoise the selected raw photos with rawkd, from the lighttable of darktable (3.6 or newer).

Each photo becomes a DNG, which is imported, grouped with the original as the leader of the group, and gets the
rating, colour labels, tags and captions of the original. The settings are in preferences > Lua options.

installed by: rawkd integrate darktable    (it replaces and removes only files with this line)
]]

local dt = require "darktable"

if dt.configuration.api_version_major < 7 then
  dt.print("rawkd needs darktable 3.6 or newer")
  return
end

local SCRIPT = "rawkd"
local INSTALLED_PROGRAM = "@RAWKD@" -- filled in by `rawkd integrate`
local WINDOWS = dt.configuration.running_os == "windows"
local SEPARATOR = WINDOWS and "\\" or "/"
local COLOURS = { "red", "yellow", "green", "blue", "purple" }
local CAPTIONS = { "title", "description", "creator", "publisher", "rights" }
local NOT_FOUND = "rawkd was not found. Install it, or choose the program in preferences > Lua options > rawkd: program."

dt.preferences.register(SCRIPT, "strength", "float", "rawkd: strength",
  "the part of the noise to remove: 0 none, 1 all", 1, 0, 1, 0.05)
dt.preferences.register(SCRIPT, "model", "enum", "rawkd: model",
  "fast is the default; balanced and best are slightly better and slower", "fast", "fast", "balanced", "best")
dt.preferences.register(SCRIPT, "folder", "directory", "rawkd: output folder",
  "write the DNGs here; empty: beside each original", "")
dt.preferences.register(SCRIPT, "program", "file", "rawkd: program",
  "the program rawkd; empty: look for it", "")

local function setting(name, kind)
  return dt.preferences.read(SCRIPT, name, kind)
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function quoted(text)
  if WINDOWS then return '"' .. text .. '"' end
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

--- Return what went wrong by the output of rawkd: its error, or the last line.
local function reason_in(log)
  local reason = "it printed no reason"
  local file = io.open(log, "r")
  if not file then return reason end
  for line in file:lines() do
    local sentence = line:match("^error: (.*)")
    if sentence then
      reason = sentence
      break
    end
    if line:match("%S") then reason = line end
  end
  file:close()
  return reason
end

--- Run a program; return nil, or what went wrong. darktable stays usable meanwhile.
local function failure_of(program, arguments)
  local log = ("%s%srawkd-%d-%d.log"):format(dt.configuration.tmp_dir, SEPARATOR, os.time(), math.random(1000000))
  local words = { quoted(program) }
  for _, argument in ipairs(arguments) do
    words[#words + 1] = quoted(argument)
  end
  local command = table.concat(words, " ") .. " > " .. quoted(log) .. " 2>&1"
  if WINDOWS then command = '"' .. command .. '"' end -- cmd.exe removes the outer pair
  local status = dt.control.execute(command)
  local reason = nil
  if status ~= 0 then reason = reason_in(log) end
  os.remove(log)
  return reason
end

local function common_places()
  if WINDOWS then
    return {
      (os.getenv("USERPROFILE") or "") .. "\\.local\\bin\\rawkd.exe",
      (os.getenv("LOCALAPPDATA") or "") .. "\\Programs\\rawkd\\rawkd.exe",
    }
  end
  local home = os.getenv("HOME") or ""
  return { home .. "/.local/bin/rawkd", "/opt/homebrew/bin/rawkd", "/usr/local/bin/rawkd", "/opt/rawkd/rawkd" }
end

--- Return the program to run, or nil and what went wrong.
local function find_program()
  local chosen = setting("program", "file")
  if chosen and chosen ~= "" then
    if exists(chosen) then return chosen end
    return nil, chosen .. " does not exist. Choose the program in preferences > Lua options > rawkd: program."
  end
  if exists(INSTALLED_PROGRAM) then return INSTALLED_PROGRAM end
  if not failure_of("rawkd", { "--version" }) then return "rawkd" end
  for _, place in ipairs(common_places()) do
    if exists(place) then return place end
  end
  return nil, NOT_FOUND
end

--- Return a path for the DNG of a photo that no file has yet.
local function free_path(image)
  local folder = setting("folder", "directory")
  if not folder or folder == "" then folder = image.path end
  local start = folder .. SEPARATOR .. image.filename:gsub("%.[^.]*$", "") .. "-denoised"
  local path, number = start .. ".dng", 2
  while exists(path) do
    path, number = start .. "-" .. number .. ".dng", number + 1
  end
  return path
end

local function copy_metadata(original, denoised)
  denoised.rating = original.rating
  for _, colour in ipairs(COLOURS) do
    denoised[colour] = original[colour]
  end
  for _, caption in ipairs(CAPTIONS) do
    if original[caption] and original[caption] ~= "" then denoised[caption] = original[caption] end
  end
  for _, tag in ipairs(original:get_tags()) do
    if not tag.name:match("^darktable|") then denoised:attach_tag(tag) end
  end
end

local function import_beside(original, path)
  local denoised = dt.database.import(path)
  copy_metadata(original, denoised)
  denoised:group_with(original)
  denoised:make_group_leader()
end

--- Denoise one photo and import the result; return nil, or what went wrong.
local function denoise_one(program, image)
  local path = free_path(image)
  local strength = ("%.2f"):format(setting("strength", "float")):gsub(",", ".") -- some languages print a comma
  local failure = failure_of(program, {
    "denoise", "--quiet", "--strength", strength, "--model", setting("model", "enum"), "--output", path, "--",
    image.path .. SEPARATOR .. image.filename,
  })
  if failure then return failure end
  if not exists(path) then return "rawkd reported no error, but " .. path .. " is missing." end
  local imported, problem = pcall(import_beside, image, path)
  if imported then return nil end
  return path .. " was written, but darktable could not import it (" .. tostring(problem) .. "). Import it by hand."
end

--- Return each raw file once, and how many other pictures there are.
-- A DNG is marked as raw only once darktable has decoded it, so that pictures are told by not being LDR or HDR.
local function raws_of(images)
  local raws, others, seen = {}, 0, {}
  for _, image in ipairs(images) do
    local path = image.path .. SEPARATOR .. image.filename
    if image.is_ldr or image.is_hdr then
      others = others + 1
    elseif not seen[path] then -- duplicates share their file
      seen[path] = true
      raws[#raws + 1] = image
    end
  end
  return raws, others
end

local function counted(number, noun)
  return number .. " " .. noun .. (number == 1 and "" or "s")
end

local function summary_of(done, failures, others, left)
  local parts = { counted(done, "photo") .. " denoised" }
  if #failures > 0 then parts[#parts + 1] = #failures .. " failed" end
  if left > 0 then parts[#parts + 1] = left .. " cancelled" end
  if others > 0 then parts[#parts + 1] = "left out " .. counted(others, "picture") .. " (not raw)" end
  local text = "rawkd: " .. table.concat(parts, ", ")
  if #failures > 0 then text = text .. "\n" .. failures[1] end
  return text
end

--- Denoise images; return a text that says what was done and the first failure. The log has all failures.
local function denoise(images)
  local raws, others = raws_of(images)
  if #raws == 0 then return "rawkd: select raw photos first" end
  local program, problem = find_program()
  if not program then return "rawkd: " .. problem end
  local cancelled = false
  local job = dt.gui.create_job("denoise with rawkd", true, function() cancelled = true end)
  local done, failures, left = 0, {}, 0
  for number, image in ipairs(raws) do
    if cancelled then
      left = #raws - number + 1
      break
    end
    local failure = denoise_one(program, image)
    if failure then
      failures[#failures + 1] = image.filename .. ": " .. failure
      dt.print_error("rawkd: " .. failures[#failures])
    else
      done = done + 1
    end
    job.percent = number / #raws
  end
  job.valid = false
  return summary_of(done, failures, others, left)
end

local function denoise_selected()
  dt.print(denoise(dt.gui.action_images))
end

dt.gui.libs.image.register_action(SCRIPT, "denoise with rawkd", denoise_selected,
  "write a denoised DNG of each selected raw photo and group it with the original")
dt.register_event(SCRIPT, "shortcut", denoise_selected, "denoise with rawkd")

local function destroy()
  dt.gui.libs.image.destroy_action(SCRIPT)
  dt.destroy_event(SCRIPT, "shortcut")
end

return {
  metadata = {
    name = "rawkd",
    purpose = "denoise raw photos with rawkd",
    author = "the rawkd project",
    help = "rawkd integrate --help",
  },
  destroy = destroy,
  denoise = denoise,
}
