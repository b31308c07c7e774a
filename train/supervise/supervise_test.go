package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// act makes the test binary a child that does what it says.
const act = "GPT2WGPU_TEST_ACT"

// before does what an act needs before its process attaches; nil: there is none on this system.
var before func(what string)

// attached are acts of some systems only.
var attached = map[string]func(*Link){}

func TestMain(m *testing.M) {
	what := os.Getenv(act)
	if what == "" {
		os.Exit(m.Run())
	}
	if before != nil {
		before(what)
	}
	l, err := Attach(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(3)
	}
	if f := attached[what]; f != nil {
		f(l)
	}
	if what == "hello" {
		fmt.Fprintf(l.Stderr, "resume %v first %d restarts %q\n", l.Resume, l.First, l.Restarts)
	}
	l.Began(len(l.Restarts))
	switch what {
	case "done", "hello":
		l.End(Ended, "")
	case "code 2":
		l.End(Ended, "")
		os.Exit(2)
	case "silent exit":
		os.Exit(1)
	case "lost":
		l.End(Failed, "the GPU did not finish in time")
	case "rust":
		fmt.Fprint(os.Stderr, "thread '<unnamed>' panicked at src/lib.rs:2183:5:\n"+
			"Error in Queue::submit: Validation Error\n\nCaused by:\n    Parent device is lost\n\n"+
			"fatal runtime error: failed to initiate panic\n")
		os.Exit(134)
	case "panic":
		go panic("in a goroutine")
		select {}
	case "stop":
		<-l.Stop()
		l.End(Ended, "")
		os.Exit(130)
	case "crash at stop":
		<-l.Stop()
	}
	os.Exit(0)
}

// supervisor returns one whose children do in turn what acts says, the last one for ever, and what it did.
func supervisor(t *testing.T, acts ...string) (s *Supervisor, restarts *[]Restart) {
	t.Helper()
	dir, n := t.TempDir(), 0
	restarts = new([]Restart)
	s = &Supervisor{Out: dir, Crash: filepath.Join(dir, "crash.log"), Most: 1, Patience: time.Minute}
	s.Command = func(word string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], word)
		cmd.Env = append(os.Environ(), act+"="+acts[min(n, len(acts)-1)])
		cmd.Stdout = os.Stdout
		n++
		return cmd
	}
	s.Resume = func() bool { return n > 0 }
	s.Progress = func() (int, int) { return -1, 0 }
	s.Restarting = func(r Restart) { *restarts = append(*restarts, r) }
	return s, restarts
}

// TestEndings: what ends by itself ends the run with its code; a crash starts the process again, as often as is
// allowed, and the reason says how it ended.
func TestEndings(t *testing.T) {
	for _, c := range []struct {
		acts     string
		code     int
		reasons  string // of the restarts
		last     string // of the crash that ends the run
		printed  string
		progress bool
	}{
		{acts: "done"},
		{acts: "code 2", code: 2},
		{acts: "silent exit,done", reasons: "exit code 1"},
		{acts: "lost,done", reasons: "the GPU did not finish in time"},
		{acts: "rust,done", reasons: "the device was lost (exit code 134)", printed: "src/lib.rs:2183"},
		{acts: "panic,code 2", code: 2, reasons: "exit code 2 (in a goroutine)", printed: "goroutine "},
		{acts: "lost,lost,done", reasons: "the GPU did not finish in time", last: "crashed 2 times in a row " +
			"without a new step, the last time: the GPU"},
		{acts: "lost,silent exit,done", progress: true, reasons: "the GPU did not finish in time,exit code 1"},
	} {
		s, restarts := supervisor(t, strings.Split(c.acts, ",")...)
		steps := 0
		s.Progress = func() (int, int) {
			if c.progress {
				steps++
			}
			return steps, 0
		}
		code, err := s.Run(context.Background())
		if code != c.code || (err != nil) != (c.last != "") ||
			err != nil && !strings.Contains(err.Error(), c.last) {
			t.Errorf("%s: code %d, %v; want %d, %q", c.acts, code, err, c.code, c.last)
		}
		var reasons []string
		for _, r := range *restarts {
			reasons = append(reasons, r.Reason)
			if (r.Printed != "") != (c.printed != "") {
				t.Errorf("%s: printed %q", c.acts, r.Printed)
			}
		}
		if got := strings.Join(reasons, ","); got != c.reasons {
			t.Errorf("%s: %q, want %q", c.acts, got, c.reasons)
		}
		if text, _ := os.ReadFile(s.Crash); !strings.Contains(string(text), c.printed) {
			t.Errorf("%s: %q lacks %q", c.acts, text, c.printed)
		}
	}
}

// TestCrashLink: what a crash prints goes into no file outside of the run's directory.
func TestCrashLink(t *testing.T) {
	needs.Symlinks(t)
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	s := &Supervisor{Crash: filepath.Join(dir, "run", "crash.log")}
	if err := errors.Join(os.Mkdir(filepath.Dir(s.Crash), 0o777), os.WriteFile(outside, []byte("mine"), 0o666),
		os.Symlink(outside, s.Crash)); err != nil {
		t.Fatal(err)
	}
	name := s.keep(ended{said: "aborted"})
	if text, _ := os.ReadFile(outside); name != "" || string(text) != "mine" {
		t.Errorf("kept in %q, the file outside is %q", name, text)
	}
}

// TestStop: the end of the context asks the process to stop, once, and a crash from then on is the last.
func TestStop(t *testing.T) {
	for what, want := range map[string]int{"stop": 130, "crash at stop": 0} {
		s, restarts := supervisor(t, what)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		code, err := s.Run(ctx)
		var crash *CrashedError
		if code != want || len(*restarts) > 0 || errors.As(err, &crash) != (want == 0) ||
			crash != nil && !crash.Stopped {
			t.Errorf("%s: code %d, %v, %v", what, code, err, *restarts)
		}
	}
}

// TestAttachRefused: nobody but a supervisor makes a process a child.
func TestAttachRefused(t *testing.T) {
	for _, word := range []string{"", "x", "3", "3,4", "-1,-2,-3", "990,991,992", "3,4,5,6,7"} {
		if l, err := Attach(word); err == nil {
			t.Errorf("%q: %v", word, l.Hello)
		}
	}
}

// TestWatch: what counts as silence.
func TestWatch(t *testing.T) {
	start := time.Unix(0, 0)
	busy := func(count int64) *Pulse { return &Pulse{Busy: true, Count: count, Bound: 10 * time.Second} }
	for name, c := range map[string]struct {
		hear func(second int) *Pulse // nil: nothing
		gap  int                     // a tick that comes an hour late
		hung int                     // second; 0: never in a minute
	}{
		"goes on":              {hear: func(s int) *Pulse { return busy(int64(s)) }},
		"rests":                {hear: func(int) *Pulse { return &Pulse{Count: 7, Bound: 10 * time.Second} }},
		"waits for the device": {hear: func(s int) *Pulse { return busy(int64(min(s, 5))) }, hung: 17},
		"stopped from second 5 on": {hear: func(s int) *Pulse {
			if s > 5 {
				return nil
			}
			return busy(int64(s))
		}, hung: 17},
		"never a word":              {hear: func(int) *Pulse { return nil }, hung: 34},
		"the machine sleeps":        {hear: func(s int) *Pulse { return busy(int64(s)) }, gap: 20},
		"sleeps, and answers later": {hear: func(s int) *Pulse { return busy(int64(s / 8)) }, gap: 20},
	} {
		w, now, hung := Watch{bound: 30 * time.Second, last: start}, start, 0
		for s := 1; s <= 60 && hung == 0; s++ {
			if p := c.hear(s); p != nil {
				w.Hear(*p)
			}
			if now = now.Add(time.Second); s == c.gap {
				now = now.Add(time.Hour)
			}
			if w.Tick(now); w.Hung() {
				hung = s
			}
		}
		if hung != c.hung {
			t.Errorf("%s: hung at %d, want %d", name, hung, c.hung)
		}
	}
}

func TestDelay(t *testing.T) {
	for inRow, want := range map[int]time.Duration{1: 0, 2: time.Second, 3: 2 * time.Second, 8: time.Minute,
		1000: time.Minute} {
		if got := delay(inRow); got != want {
			t.Errorf("%d in a row: %v, want %v", inRow, got, want)
		}
	}
}

// TestHead: of a process that prints without end, the beginning and the end stay.
func TestHead(t *testing.T) {
	var h head
	for i := range 100_000 {
		fmt.Fprintf(&h, "line %d of a driver that prints\n", i)
	}
	text := h.String()
	if len(text) > 2*mostSaid || !strings.HasPrefix(text, "line 0 ") || !strings.HasSuffix(text, "line 99999 of a "+
		"driver that prints\n") {
		t.Errorf("%d bytes: %.50q … %q", len(text), text, text[len(text)-50:])
	}
}
