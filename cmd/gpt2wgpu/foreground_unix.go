//go:build unix

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// inForeground reports whether this process may change its terminal; one that a shell runs with & would be stopped.
func inForeground(f *os.File) bool {
	group, err := unix.IoctlGetInt(int(f.Fd()), unix.TIOCGPGRP)
	return err != nil || group == syscall.Getpgrp()
}

// interruptAll does what a terminal does for Ctrl-C.
func interruptAll() { syscall.Kill(0, syscall.SIGINT) }
