@echo off
rem Denoise the raw photos that are sent here; the window stays open if one fails.
rem installed by: rawkd integrate desktop    (it replaces and removes only files with this line)
setlocal
chcp 65001 >nul
set "RAWKD=@RAWKD@"
if exist "%RAWKD%" goto run
set "RAWKD=rawkd"
where /q rawkd
if not errorlevel 1 goto run
echo rawkd was not found. Install it, then run: rawkd integrate desktop
pause
exit /b 1
:run
"%RAWKD%" denoise -- %*
if errorlevel 1 pause
