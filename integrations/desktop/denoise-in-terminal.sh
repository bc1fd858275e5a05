#!/bin/sh
# Denoise the photos that are opened with "Denoise with rawkd"; the window stays open if one fails.
# A file of its own, because some programs (digiKam) cannot read quotes within the Exec line of a .desktop file.
# installed by: rawkd integrate desktop    (it replaces and removes only files with this line)

program=@RAWKD@
[ -x "$program" ] || program=$(PATH="$PATH:$HOME/.local/bin:/usr/local/bin" command -v rawkd)
if [ -z "$program" ]; then
  echo "rawkd was not found. Install it, then run: rawkd integrate desktop"
elif "$program" denoise -- "$@"; then
  exit 0
fi
printf '\nPress Enter to close this window. '
read -r _
exit 1
