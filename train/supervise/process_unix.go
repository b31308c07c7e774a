//go:build unix

package supervise

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// inherit says how a child names these files: by the descriptors that follow the standard ones. lock is nil: there is
// none.
func inherit(to, from, stderr, lock *os.File) (word string, files []*os.File) {
	if lock == nil {
		return "3,4,5", []*os.File{to, from, stderr}
	}
	return "3,4,5,6", []*os.File{to, from, stderr, lock}
}

func prepare(cmd *exec.Cmd, files []*os.File) {
	cmd.ExtraFiles = files
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	endWithParent(cmd.SysProcAttr)
}

func adopt(*os.Process) (release func(), err error) { return func() {}, nil }

func closeOnExec(fd uintptr) { syscall.CloseOnExec(int(fd)) }

// signalOf returns the name of the signal that ended a process, or "".
func signalOf(state *os.ProcessState) string {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return unix.SignalName(status.Signal())
	}
	return ""
}
