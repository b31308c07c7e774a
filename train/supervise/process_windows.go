package supervise

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// inherit says how a child names these files: by their handles. A lock belongs to one process.
func inherit(to, from, stderr, _ *os.File) (word string, files []*os.File) {
	return fmt.Sprintf("%d,%d,%d", to.Fd(), from.Fd(), stderr.Fd()), []*os.File{to, from, stderr}
}

func prepare(cmd *exec.Cmd, files []*os.File) {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	for _, f := range files {
		h := windows.Handle(f.Fd())
		windows.SetHandleInformation(h, windows.HANDLE_FLAG_INHERIT, windows.HANDLE_FLAG_INHERIT)
		cmd.SysProcAttr.AdditionalInheritedHandles = append(cmd.SysProcAttr.AdditionalInheritedHandles,
			syscall.Handle(h))
	}
}

// adopt puts the child into a job that ends with this process.
func adopt(p *os.Process) (release func(), err error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, err
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{}
	info.BasicLimitInformation.LimitFlags = windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
	_, err = windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info)))
	if err == nil {
		var child windows.Handle
		child, err = windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(p.Pid))
		if err == nil {
			err = windows.AssignProcessToJobObject(job, child)
			windows.CloseHandle(child)
		}
	}
	if err != nil {
		windows.CloseHandle(job)
		return nil, err
	}
	return func() { windows.CloseHandle(job) }, nil
}

func closeOnExec(handle uintptr) {
	windows.SetHandleInformation(windows.Handle(handle), windows.HANDLE_FLAG_INHERIT, 0)
}

func signalOf(*os.ProcessState) string { return "" }
