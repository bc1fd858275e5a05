-- The dialog of the menu item; it remembers strength, model and program.
-- installed by: rawkd integrate lightroom    (it replaces and removes only files with this line)

local LrBinding = import "LrBinding"
local LrDialogs = import "LrDialogs"
local LrFunctionContext = import "LrFunctionContext"
local LrPrefs = import "LrPrefs"
local LrView = import "LrView"

local DEFAULTS = { strength = 1, model = "fast", program = "" }
local MODELS = {
  { title = "fast", value = "fast" },
  { title = "balanced", value = "balanced" },
  { title = "best (slow)", value = "best" },
}
local LABEL_WIDTH = 90

local Settings = {}

local function contents_of(values)
  local view, bind = LrView.osFactory(), LrView.bind
  local function row(label, ...)
    return view:row({ view:static_text({ title = label, width = LABEL_WIDTH }), ... })
  end
  return view:column({
    bind_to_object = values,
    spacing = view:control_spacing(),
    row("Strength",
      view:slider({ value = bind("strength"), min = 0, max = 1, width = 200 }),
      view:edit_field({ value = bind("strength"), min = 0, max = 1, precision = 2, width_in_chars = 5 })),
    row("Model", view:popup_menu({ value = bind("model"), items = MODELS })),
    row("Program", view:edit_field({ value = bind("program"), width_in_chars = 32 })),
    row("", view:static_text({ title = "The path of rawkd; empty: look for it." })),
  })
end

--- Ask for the settings; return them, or nil if the user cancels. `what` is what will be denoised.
function Settings.ask(title, what)
  return LrFunctionContext.callWithContext("rawkd settings", function(context)
    local stored = LrPrefs.prefsForPlugin()
    local values = LrBinding.makePropertyTable(context)
    for key, default in pairs(DEFAULTS) do
      values[key] = stored[key]
      if values[key] == nil then values[key] = default end
    end
    local answer = LrDialogs.presentModalDialog({
      title = title .. ": " .. what,
      contents = contents_of(values),
      actionVerb = "Denoise",
    })
    if answer ~= "ok" then return nil end
    local settings = {}
    for key, default in pairs(DEFAULTS) do
      settings[key] = values[key]
      if settings[key] == nil then settings[key] = default end
      stored[key] = settings[key]
    end
    return settings
  end)
end

return Settings
