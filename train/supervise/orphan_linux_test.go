package supervise

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
)

// lockPath names the lock that the test binary holds as a supervisor.
const lockPath = "GPT2WGPU_TEST_LOCK"

func init() {
	before = func(what string) {
		path := os.Getenv(lockPath)
		switch {
		case path != "" && len(os.Args) == 1:
			superviseOne(path, what)
		case what == "outlive":
			outlive()
		}
	}
	attached["keeps lock"] = keepsLock
}

// superviseOne is a supervisor whose child does what acts says.
func superviseOne(path, what string) {
	l, err := lock.Take(context.Background(), path, 0, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	s := &Supervisor{Lock: l.File(), Patience: time.Minute, Resume: func() bool { return false },
		Progress: func() (int, int) { return -1, 0 }}
	s.Command = func(word string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], word)
		cmd.Env = append(os.Environ(), act+"="+what)
		cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
		return cmd
	}
	code, err := s.Run(context.Background())
	if err != nil {
		fmt.Println(err)
	}
	os.Exit(code)
}

// outlive ends only when nobody writes to its standard input any more, as a child does for a moment whose supervisor
// was killed.
func outlive() {
	unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
	fmt.Println("lives")
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// keepsLock says whether a child that is attached has the lock's file open, and closes it for its own children.
func keepsLock(l *Link) {
	for range 3 {
		runtime.GC() // a file that nothing refers to is closed
	}
	flags, err := unix.FcntlInt(6, unix.F_GETFD, 0)
	fmt.Println("lock open:", err == nil && l.lock != nil, "closed on exec:", flags&unix.FD_CLOEXEC != 0)
	l.End(Ended, "")
	os.Exit(0)
}

func startSupervisor(t *testing.T, what string) (path string, cmd *exec.Cmd, stdin io.Closer, said *bufio.Reader) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "lock")
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), act+"="+what, lockPath+"="+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	return path, cmd, stdin, bufio.NewReader(stdout)
}

// TestLockOutlivesSupervisor: while a child lives whose supervisor was killed, nobody else gets the lock.
func TestLockOutlivesSupervisor(t *testing.T) {
	path, cmd, stdin, said := startSupervisor(t, "outlive")
	if line, _ := said.ReadString('\n'); line != "lives\n" {
		t.Fatalf("the child said %q", line)
	}
	cmd.Process.Kill()
	cmd.Process.Wait()
	l, err := lock.Take(t.Context(), path, 0, nil)
	if held := (*lock.HeldError)(nil); !errors.As(err, &held) || held.Owner.PID != cmd.Process.Pid {
		t.Errorf("the lock while the child lives: %v, %v", l, err)
	}
	if _, held := lock.Held(path); !held {
		t.Error("the lock is not held while the child lives")
	}
	stdin.Close()
	io.Copy(io.Discard, said) // until the child has ended
	if l, err = lock.Take(t.Context(), path, time.Minute, nil); err != nil {
		t.Errorf("the lock after both: %v", err)
	}
	l.Release()
}

// TestLockStaysOpen: an attached child keeps the lock's file open, and its own children don't get it.
func TestLockStaysOpen(t *testing.T) {
	_, cmd, _, said := startSupervisor(t, "keeps lock")
	if line, _ := said.ReadString('\n'); line != "lock open: true closed on exec: true\n" {
		t.Errorf("the child said %q", line)
	}
	io.Copy(io.Discard, said)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
