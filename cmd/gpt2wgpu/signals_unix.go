//go:build unix

package main

import (
	"errors"
	"os"
	"os/signal"
	"syscall"
)

var (
	hangups = []os.Signal{syscall.SIGHUP}
	quits   = []os.Signal{syscall.SIGQUIT}
)

// keepBrokenPipes makes writing to a pipe that nobody reads an error on standard output and standard error too, where
// Go ends the process otherwise. Programs that this one starts keep the system's behaviour, which signal.Ignore would
// change.
func keepBrokenPipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }

func readerGone(err error) bool { return errors.Is(err, syscall.EPIPE) }

// endOfPipe ends the process by SIGPIPE, as a shell expects of `gpt2wgpu devices | head -1`.
func endOfPipe(f *os.File, rest []byte) {
	signal.Reset(syscall.SIGPIPE)
	f.Write(rest)
}
