package main

import (
	"os"

	"golang.org/x/sys/windows"
)

func inForeground(*os.File) bool { return true }

// interruptAll does what a console does for Ctrl-C.
func interruptAll() { windows.GenerateConsoleCtrlEvent(windows.CTRL_C_EVENT, 0) }
