//go:build unix && !linux

package supervise

import "syscall"

// endWithParent does nothing: the child sees its pipe end.
func endWithParent(*syscall.SysProcAttr) {}
