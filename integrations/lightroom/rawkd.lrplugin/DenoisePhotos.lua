-- The menu item: ask for the settings, denoise the selected raw photos, stack each DNG above its original.
-- installed by: rawkd integrate lightroom    (it replaces and removes only files with this line)

local LrApplication = import "LrApplication"
local LrDialogs = import "LrDialogs"
local LrFileUtils = import "LrFileUtils"
local LrFunctionContext = import "LrFunctionContext"
local LrPathUtils = import "LrPathUtils"
local LrProgressScope = import "LrProgressScope"
local LrTasks = import "LrTasks"

local Program = require "Program"
local Settings = require "Settings"

local TITLE = "Denoise with rawkd"
local SHOWN_FAILURES = 10

local function counted(number, noun)
  return number .. " " .. noun .. (number == 1 and "" or "s")
end

--- Return each raw file once, and how many other pictures there are.
local function raws_of(photos)
  local raws, others, seen = {}, 0, {}
  for _, photo in ipairs(photos) do
    local format = photo:getRawMetadata("fileFormat")
    local path = photo:getRawMetadata("path")
    if format ~= "RAW" and format ~= "DNG" then
      others = others + 1
    elseif not seen[path] then -- virtual copies share their file
      seen[path] = true
      raws[#raws + 1] = { photo = photo, path = path, name = LrPathUtils.leafName(path) }
    end
  end
  return raws, others
end

local function copy_metadata(original, denoised)
  for _, key in ipairs({ "rating", "pickStatus" }) do
    local value = original:getRawMetadata(key)
    if value then denoised:setRawMetadata(key, value) end
  end
  for _, key in ipairs({ "label", "title", "caption", "copyright" }) do
    local value = original:getFormattedMetadata(key)
    if value and value ~= "" then denoised:setRawMetadata(key, value) end
  end
  for _, keyword in ipairs(original:getRawMetadata("keywords") or {}) do
    denoised:addKeyword(keyword)
  end
end

--- Add a DNG to the catalog, stacked above its original; raise an error if that fails.
local function add_to_catalog(catalog, original, path)
  local outcome = catalog:withWriteAccessDo("Add a denoised photo", function()
    copy_metadata(original, catalog:addPhoto(path, original, "above"))
  end, { timeout = 60 })
  if outcome ~= "executed" then error("the catalog is busy", 0) end
end

--- Denoise one photo; return nil, or what went wrong.
local function denoise_one(catalog, program, settings, raw)
  local output = LrFileUtils.chooseUniqueFileName(LrPathUtils.removeExtension(raw.path) .. "-denoised.dng")
  local strength = string.format("%.2f", settings.strength):gsub(",", ".") -- some languages print a comma
  local failure = Program.failure_of(program, {
    "denoise", "--quiet", "--strength", strength, "--model", settings.model, "--output", output, "--", raw.path,
  })
  if failure then return failure end
  if not LrFileUtils.exists(output) then return "rawkd reported no error, but " .. output .. " is missing." end
  local added, problem = LrTasks.pcall(add_to_catalog, catalog, raw.photo, output)
  if added then return nil end
  return output .. " was written, but could not be added (" .. tostring(problem) .. "). Import it by hand."
end

--- Denoise all; return how many were done, the failures, and how many were cancelled.
local function denoise_all(catalog, program, settings, raws, progress)
  local failures = {}
  for number, raw in ipairs(raws) do
    if progress:isCanceled() then return number - 1 - #failures, failures, #raws - number + 1 end
    progress:setCaption(string.format("%s (%d of %d)", raw.name, number, #raws))
    local failure = denoise_one(catalog, program, settings, raw)
    if failure then failures[#failures + 1] = raw.name .. ": " .. failure end
    progress:setPortionComplete(number, #raws)
  end
  return #raws - #failures, failures, 0
end

--- Show what was done, unless all went well.
local function report(done, failures, cancelled, others)
  if #failures == 0 and cancelled == 0 and others == 0 then return end
  local parts = { counted(done, "photo") .. " denoised" }
  if #failures > 0 then parts[#parts + 1] = #failures .. " failed" end
  if cancelled > 0 then parts[#parts + 1] = cancelled .. " cancelled" end
  if others > 0 then parts[#parts + 1] = "left out " .. counted(others, "file") .. " (not raw)" end
  local shown = table.concat(failures, "\n", 1, math.min(#failures, SHOWN_FAILURES))
  LrDialogs.message(TITLE, table.concat(parts, ", ") .. ".\n\n" .. shown, #failures > 0 and "critical" or "info")
end

LrFunctionContext.postAsyncTaskWithContext(TITLE, function(context)
  LrDialogs.attachErrorDialogToFunctionContext(context)
  local catalog = LrApplication.activeCatalog()
  local raws, others = raws_of(catalog:getTargetPhotos())
  if #raws == 0 then
    LrDialogs.message(TITLE, "Select raw photos first.", "info")
    return
  end
  local settings = Settings.ask(TITLE, counted(#raws, "photo"))
  if not settings then return end
  local program, problem = Program.find(settings.program)
  if not program then
    LrDialogs.message(TITLE, problem, "critical")
    return
  end
  local progress = LrProgressScope({ title = TITLE, functionContext = context })
  progress:setCancelable(true)
  local done, failures, cancelled = denoise_all(catalog, program, settings, raws, progress)
  progress:done()
  report(done, failures, cancelled, others)
end)
