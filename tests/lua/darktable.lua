-- Stands in for darktable: loads the script and runs its action on images of the scenario.

local stand_in = dofile(arg[0]:match("^(.*)/") .. "/stand_in.lua")
local scenario, event = stand_in.scenario, stand_in.event

local function image_of(fields)
  local image = { path = fields.folder, filename = fields.name }
  for key, value in pairs(fields) do
    if key ~= "folder" and key ~= "name" then image[key] = value end
  end
  function image:get_tags() return fields.tags or {} end
  function image:attach_tag(tag) event("tag", self.filename, tag.name) end
  function image:group_with(other) event("grouped", self.filename, other.filename) end
  function image:make_group_leader() event("leader", self.filename, self.rating) end
  return image
end

local images = {}
for _, fields in ipairs(scenario.images) do
  images[#images + 1] = image_of(fields)
end

local actions, cancel = {}, nil
local darktable = {
  configuration = {
    api_version_major = scenario.api or 9,
    running_os = "linux",
    tmp_dir = scenario.root,
  },
  print = function(text) event("print", text) end,
  print_error = function(text) event("log", text) end,
  register_event = function(name, kind) event("registered", kind, name) end,
  destroy_event = function(name, kind) event("destroyed", kind, name) end,
  preferences = {
    register = function(script, name, kind, label, tooltip, default)
      assert(label and tooltip and default ~= nil)
      scenario.preferences[name] = scenario.preferences[name] or default
    end,
    read = function(_, name) return scenario.preferences[name] end,
  },
  control = { execute = os.execute },
  database = {
    import = function(path)
      if scenario.import_fails then error("the library is locked", 0) end
      event("imported", path)
      return image_of({ folder = path:match("^(.*)/"), name = path:match("[^/]*$") })
    end,
  },
  gui = {
    action_images = images,
    libs = {
      image = {
        register_action = function(name, label, action, tooltip)
          assert(label and tooltip)
          actions[name] = action
        end,
        destroy_action = function(name) event("destroyed", "action", name) end,
      },
    },
    create_job = function(_, has_progress, on_cancel)
      assert(has_progress)
      cancel = on_cancel
      return setmetatable({}, {
        __newindex = function(_, key, value)
          event(key, value)
          if key == "percent" and scenario.cancel_at and value >= scenario.cancel_at then cancel() end
        end,
      })
    end,
  },
}
package.preload.darktable = function() return darktable end

local script = dofile(scenario.script)
if script then
  actions.rawkd()
  script.destroy()
end
