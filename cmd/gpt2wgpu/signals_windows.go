package main

import (
	"errors"
	"os"
	"syscall"
)

// A console that closes arrives as SIGTERM. Nothing arrives as SIGQUIT.
var hangups, quits []os.Signal

func keepBrokenPipes() {}

const errorNoData = syscall.Errno(232) // "the pipe is being closed"

func readerGone(err error) bool {
	return errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, errorNoData)
}

// endOfPipe ends the process quietly, with the code that a shell gives to one that SIGPIPE ended.
func endOfPipe(*os.File, []byte) { os.Exit(141) }
