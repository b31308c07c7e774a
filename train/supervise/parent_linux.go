package supervise

import "syscall"

// endWithParent ends a child with the thread that has started it.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
