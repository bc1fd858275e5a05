-- rawkd in Lightroom Classic: Library > Plug-in Extras > Denoise with rawkd.
-- installed by: rawkd integrate lightroom    (it replaces and removes only files with this line)

return {
  LrSdkVersion = 10.0,
  LrSdkMinimumVersion = 6.0,
  LrToolkitIdentifier = "org.rawkd.lightroom",
  LrPluginName = "rawkd",
  LrLibraryMenuItems = {
    { title = "Denoise with rawkd...", file = "DenoisePhotos.lua", enabledWhen = "photosSelected" },
  },
  VERSION = { major = 0, minor = 1, revision = 0 },
}
