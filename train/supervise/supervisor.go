//go:build !js

package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Supervisor runs a process until it ends by itself.
type Supervisor struct {
	Command  func(word string) *exec.Cmd // makes the child, which calls Attach(word); Stderr is taken
	Out      string
	Lock     *os.File      // stays open until this process and the child have both ended; nil: none. Not on Windows.
	Crash    string        // file that what the crashed process has printed is added to
	Most     int           // restarts in a row without progress
	Patience time.Duration // for a first sign of life

	// Closing Quit sends the process SIGQUIT, at which Go prints all stacks and exits; nil: never.
	Quit <-chan struct{}
	// Resume says whether a process that is started now goes on with what an earlier one has begun.
	Resume func() bool
	// Progress returns the newest steps that are logged and saved: more of either is progress.
	Progress func() (logged, saved int)
	// Restarting is called before a restart.
	Restarting func(Restart)

	child    atomic.Pointer[os.Process]
	first    int
	restarts []string // reasons that no child has recorded
	release  func()   // what adopt has made for the newest child
}

// Restart is why a process is started again.
type Restart struct {
	Reason  string
	Printed string        // the file with what the process has printed; empty: nothing
	In      int           // how many in a row without progress, this one included
	Delay   time.Duration // before it
}

// CrashedError ends a run whose process crashes.
type CrashedError struct {
	Restart      // that is not done
	Stopped bool // the process was asked to stop
}

func (e *CrashedError) Error() string {
	text := "the training process crashed: " + e.Reason
	if e.Stopped {
		text = "the training process crashed while it stopped: " + e.Reason
	} else if e.In > 1 {
		text = fmt.Sprintf("the training process crashed %d times in a row without a new step, the last time: %s", e.In,
			e.Reason)
	}
	if e.Printed != "" {
		text += "; what it printed is in " + e.Printed
	}
	return text
}

// QuitError ends a run whose Quit was closed.
type QuitError struct {
	Printed string // the file with what the process has printed; empty: nothing
}

func (e *QuitError) Error() string { return "the training process was ended at once" }

// Run starts the process, again if need be, and returns the exit code of the one that ended by itself. When ctx ends
// the process is asked to stop. Errors: *CrashedError; *QuitError; those of starting a process.
func (s *Supervisor) Run(ctx context.Context) (code int, err error) {
	runtime.LockOSThread() // Linux ends the child with the thread that has started it
	defer runtime.UnlockOSThread()
	s.first = -1
	logged, saved := s.Progress()
	inRow := 0
	for {
		end, err := s.once(ctx)
		if err != nil {
			return 0, err
		}
		if end.reason == "" {
			return end.code, nil
		}
		if s.quitted(end.reason) {
			return 0, &QuitError{s.keep(end)}
		}
		if nowLogged, nowSaved := s.Progress(); nowLogged > logged || nowSaved > saved {
			logged, saved, inRow = max(logged, nowLogged), max(saved, nowSaved), 0
		}
		inRow++
		r := Restart{Reason: end.reason, Printed: s.keep(end), In: inRow, Delay: delay(inRow)}
		if ctx.Err() != nil || inRow > s.Most {
			return 0, &CrashedError{r, ctx.Err() != nil}
		}
		s.restarts = append(s.restarts, r.Reason)
		s.Restarting(r)
		select {
		case <-s.Quit:
			return 0, &QuitError{r.Printed}
		case <-ctx.Done():
			return 0, &CrashedError{r, true}
		case <-time.After(r.Delay):
		}
	}
}

// quitted reports whether Quit is closed. After SIGQUIT it waits: a terminal signals both, and the child may be first.
func (s *Supervisor) quitted(reason string) bool {
	var wait time.Duration
	if s.Quit != nil && strings.Contains(reason, "SIGQUIT") {
		wait = quitPatience
	}
	select {
	case <-s.Quit:
		return true
	default:
	}
	select {
	case <-s.Quit:
		return true
	case <-time.After(wait):
		return false
	}
}

// delay lets a device come back: none after progress, then 1, 2, 4 seconds and so on, up to a minute.
func delay(inRow int) time.Duration {
	if inRow < 2 {
		return 0
	}
	return min(time.Second<<min(inRow-2, 6), time.Minute)
}

// Kill ends the process, if there is one, at once.
func (s *Supervisor) Kill() {
	if p := s.child.Load(); p != nil {
		p.Kill()
	}
}

// quitPatience is how long a process may take to print where it is.
const quitPatience = 2 * time.Second

// ended is how one process ended.
type ended struct {
	pid    int
	code   int
	reason string // of a crash; empty: it ended by itself
	said   string // on file descriptor 2
}

// once runs one process.
func (s *Supervisor) once(ctx context.Context) (end ended, err error) {
	var said head
	cmd, messages, to, err := s.start(&said)
	if err != nil {
		return end, fmt.Errorf("the training process cannot be started: %w; hint: --no-supervise trains in this one",
			err)
	}
	defer s.release()
	s.child.Store(cmd.Process)
	defer s.child.Store(nil)
	defer to.Close()
	hello := Hello{Parent: os.Getpid(), Out: s.Out, Resume: s.Resume(), First: s.first, Restarts: s.restarts}
	raw, _ := json.Marshal(hello)
	fmt.Fprintf(to, "%s\n", raw)

	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(beat)
	defer tick.Stop()
	w := NewWatch(s.Patience)
	stop, quit, hung, last := ctx.Done(), s.Quit, "", message{}
	for {
		select {
		case m, ok := <-messages:
			switch {
			case !ok:
				messages = nil
			case m.Pulse != nil:
				w.Hear(*m.Pulse)
			case m.Began != nil:
				if s.restarts = nil; s.first < 0 {
					s.first = *m.Began
				}
			case m.Ending != "":
				last = m
			}
		case <-stop:
			fmt.Fprintln(to, stopWord)
			stop = nil
		case <-quit:
			cmd.Process.Signal(syscall.SIGQUIT)
			time.AfterFunc(quitPatience, s.Kill) // a stopped process ignores SIGQUIT
			quit = nil
		case now := <-tick.C:
			if w.Tick(now); w.Hung() && hung == "" {
				hung = fmt.Sprintf("no progress for %v", w.silent.Round(time.Second))
				cmd.Process.Kill()
			}
		case err := <-done:
			for messages != nil { // what it has said before it ended
				m, ok := <-messages
				if !ok {
					messages = nil
				} else if m.Ending != "" {
					last = m
				} else if m.Began != nil {
					s.restarts = nil
				}
			}
			end = ended{pid: cmd.Process.Pid, code: cmd.ProcessState.ExitCode(), said: said.String()}
			switch {
			case last.Ending == Ended && hung == "":
				return end, nil
			case last.Ending == Failed:
				end.reason = last.Reason
			case hung != "":
				end.reason = hung
			default:
				end.reason = reason(cmd.ProcessState, end.said)
			}
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
				return end, err
			}
			return end, nil
		}
	}
}

// start starts a process. What it says comes over messages, which is closed when it ends.
func (s *Supervisor) start(said *head) (cmd *exec.Cmd, messages chan message, to *os.File, err error) {
	fromChild, childOut, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, err
	}
	childIn, to, err := os.Pipe()
	if err != nil {
		fromChild.Close()
		childOut.Close()
		return nil, nil, nil, err
	}
	word, files := inherit(childOut, childIn, os.Stderr, s.Lock)
	cmd = s.Command(word)
	cmd.Stderr, cmd.WaitDelay = said, 2*time.Second // of a process that the child leaves behind
	prepare(cmd, files)
	err = cmd.Start()
	childOut.Close()
	childIn.Close()
	if err == nil {
		if s.release, err = adopt(cmd.Process); err != nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
	if err != nil {
		fromChild.Close()
		to.Close()
		return nil, nil, nil, err
	}
	messages = make(chan message)
	go func() {
		defer fromChild.Close()
		defer close(messages)
		for lines := bufio.NewScanner(fromChild); lines.Scan(); {
			var m message
			if json.Unmarshal(lines.Bytes(), &m) == nil {
				messages <- m
			}
		}
	}()
	return cmd, messages, to, nil
}
