-- Stands in for Lightroom Classic: runs the menu item of a plug-in against a catalog of the scenario.

local stand_in = dofile(arg[0]:match("^(.*)/") .. "/stand_in.lua")
local scenario, event = stand_in.scenario, stand_in.event

WIN_ENV, MAC_ENV = false, true
package.path = scenario.plugin .. "/?.lua"

local function photo_of(fields)
  local photo = { fields = fields }
  function photo:getRawMetadata(key) return self.fields[key] end
  function photo:getFormattedMetadata(key) return self.fields[key] end
  function photo:setRawMetadata(key, value) event("set", self.fields.path, key, value) end
  function photo:addKeyword(keyword) event("keyword", self.fields.path, keyword) end
  return photo
end

local photos = {}
for _, fields in ipairs(scenario.photos) do
  photos[#photos + 1] = photo_of(fields)
end

local writing = false
local catalog = {}
function catalog:getTargetPhotos() return photos end
function catalog:withWriteAccessDo(title, action, options)
  assert(title and options.timeout, "without a timeout Lightroom raises an error if the catalog is busy")
  if scenario.busy then return "aborted" end
  writing = true
  action()
  writing = false
  return "executed"
end
function catalog:addPhoto(path, original, position)
  assert(writing, "addPhoto needs write access")
  assert(stand_in.exists(path), "there is no such file: " .. path)
  event("added", path, position, original.fields.path)
  return photo_of({ path = path })
end

local shown = 0
local function progress_of(settings)
  assert(settings.title and settings.functionContext)
  return {
    setCancelable = function(_, cancelable) event("cancelable", cancelable) end,
    setCaption = function(_, text) event("caption", text) end,
    setPortionComplete = function(_, part, whole)
      shown = part
      event("progress", part, whole)
    end,
    isCanceled = function() return scenario.cancel_after ~= nil and shown >= scenario.cancel_after end,
    done = function() event("done") end,
  }
end

local widgets = {}
local factory = setmetatable({}, {
  __index = function(_, kind)
    return function(_, settings)
      widgets[#widgets + 1] = kind
      return settings
    end
  end,
})
local preferences = scenario.preferences or {}
local bound

local modules = {
  LrApplication = { activeCatalog = function() return catalog end },
  LrBinding = {
    makePropertyTable = function(context)
      assert(context)
      bound = {}
      return bound
    end,
  },
  LrDialogs = {
    attachErrorDialogToFunctionContext = function(context) assert(context) end,
    message = function(title, text, style) event("message", title, text, style) end,
    presentModalDialog = function(settings)
      assert(settings.contents.bind_to_object == bound, "the fields show the values")
      event("dialog", settings.title, bound.strength, bound.model, bound.program, table.concat(widgets, " "))
      for key, value in pairs(scenario.entered or {}) do
        bound[key] = value
      end
      return scenario.answer
    end,
  },
  LrFileUtils = {
    exists = stand_in.exists,
    delete = os.remove,
    readFile = function(path)
      local file = assert(io.open(path, "rb"))
      local text = file:read("*a")
      file:close()
      return text
    end,
    chooseUniqueFileName = function(path)
      local start, suffix = path:match("^(.*)(%.[^.]*)$")
      local free, number = path, 0
      while stand_in.exists(free) do
        number = number + 1
        free = start .. "-" .. number .. suffix
      end
      return free
    end,
  },
  LrFunctionContext = {
    callWithContext = function(name, action) return action({ name = name }) end,
    postAsyncTaskWithContext = function(name, action) action({ name = name }) end,
  },
  LrPathUtils = {
    child = function(folder, name) return folder .. "/" .. name end,
    leafName = function(path) return path:match("[^/]*$") end,
    removeExtension = function(path) return (path:gsub("%.[^./]*$", "")) end,
    getStandardFilePath = function(name) return assert(({ temp = scenario.root, home = scenario.root .. "/home" })[name]) end,
  },
  LrPrefs = { prefsForPlugin = function() return preferences end },
  LrProgressScope = progress_of,
  LrTasks = { execute = os.execute, pcall = pcall },
  LrView = {
    osFactory = function() return factory end,
    bind = function(key) return { bound_to = key } end,
  },
}
factory.control_spacing = function() return 4 end

function import(name)
  return assert(modules[name], "Lightroom has no module " .. name)
end

local info = dofile(scenario.plugin .. "/Info.lua")
assert(info.LrSdkVersion and info.LrToolkitIdentifier and info.LrPluginName)
event("version", info.VERSION.major .. "." .. info.VERSION.minor .. "." .. info.VERSION.revision)
for _, item in ipairs(info.LrLibraryMenuItems) do
  event("menu", item.title, item.enabledWhen)
  dofile(scenario.plugin .. "/" .. item.file)
end
for key, value in pairs(preferences) do
  event("remembered", key, value)
end
