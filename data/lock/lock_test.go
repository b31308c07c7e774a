package lock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// TestMain lets the test binary be the other process: it takes the lock named by the environment and holds it until its
// standard input ends.
func TestMain(m *testing.M) {
	if path := os.Getenv("LOCK_TEST_PATH"); path != "" {
		if _, err := Take(context.Background(), path, 0, nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		bufio.NewReader(os.Stdin).ReadByte()
		os.Exit(0) // without Release, as a process that is killed
	}
	os.Exit(m.Run())
}

// other starts a process that holds path, and returns its id and what ends it.
func other(t *testing.T, path string) (pid int, end func()) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "LOCK_TEST_PATH="+path)
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	end = func() { in.Close(); c.Wait() }
	t.Cleanup(end)
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process said %q", line)
	}
	return c.Process.Pid, end
}

func TestTheOtherProcessIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	pid, end := other(t, path)
	_, err := Take(context.Background(), path, 0, nil)
	var held *HeldError
	if !errors.As(err, &held) {
		t.Fatalf("got %v, want a held lock", err)
	}
	host, _ := os.Hostname()
	if held.Owner != (Owner{pid, host}) || !strings.Contains(err.Error(), fmt.Sprintf("process %d on %s", pid, host)) {
		t.Errorf("got %v, want process %d on %s", err, pid, host)
	}
	var waited Owner
	ctx, cancel := context.WithCancel(context.Background())
	if _, err := Take(ctx, path, -1, func(o Owner) { waited = o; cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
	if waited != held.Owner {
		t.Errorf("waited for %v, want %v", waited, held.Owner)
	}
	l, err := Take(context.Background(), path, time.Minute, func(Owner) { end() }) // a process that ends gives it back
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path + ".json"); err == nil {
		t.Error("lock.json is still there after Release")
	}
	if l, err = Take(context.Background(), path, 0, nil); err != nil {
		t.Errorf("after Release: %v", err)
	}
	l.Release()
}

// TestRemove: who waits for a lock whose file its holder removes gets a lock that others see.
func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(t.Context(), path, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Take(t.Context(), path, -1, func(Owner) { first.Remove() })
	if err != nil {
		t.Fatal(err)
	}
	if _, held := Held(path); !held {
		t.Error("the second lock is not held")
	}
	if _, err := Take(t.Context(), path, 0, nil); err == nil {
		t.Error("a third took the lock")
	}
	second.Remove()
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) > 0 {
		t.Errorf("%v was left, %v", entries, err)
	}
}

// TestLinks: a link in the place of a lock makes and locks no file outside of its directory.
func TestLinks(t *testing.T) {
	needs.Symlinks(t)
	dir := t.TempDir()
	outside, path := filepath.Join(dir, "outside"), filepath.Join(dir, "run", "lock")
	if err := errors.Join(os.Mkdir(filepath.Dir(path), 0o777), os.Symlink("../outside", path)); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(t.Context(), path, 0, nil); err == nil {
		t.Error("the lock was taken")
	}
	if _, err := os.Lstat(outside); err == nil {
		t.Error("a file was made outside")
	}
}

func TestErrors(t *testing.T) {
	if _, err := Take(context.Background(), filepath.Join(t.TempDir(), "no", "lock"), 0, nil); !errors.Is(err,
		os.ErrNotExist) {
		t.Errorf("got %v, want a missing directory", err)
	}
	for _, err := range []error{syscall.ENOLCK, syscall.ENOSYS, syscall.ENOTSUP} {
		if !unsupported(&os.PathError{Op: "flock", Path: "lock", Err: err}) {
			t.Errorf("%v: want a file system without locks", err)
		}
	}
	if unsupported(nil) || unsupported(syscall.EACCES) {
		t.Error("no error, or a refusal, counts as missing locks")
	}
	var none *Lock
	if err := none.Release(); err != nil {
		t.Error(err)
	}
}
