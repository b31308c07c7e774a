package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
	"github.com/gpt2wgpu/gpt2wgpu/train/shell"
	"github.com/gpt2wgpu/gpt2wgpu/train/supervise"
)

// train in two processes: the one that was started, which holds the run's directory, and its child, which trains.

// trainChild is the word that makes this program the child. It is not a command: nobody types it.
const trainChild = "train-child"

// link leads to the supervisor of this process; nil: it has none.
var link *supervise.Link

// crashOutput is standard error as native code sees it: in a supervised process the pipe for what crashes print.
var crashOutput = os.Stderr

// supervised makes train start a child; main sets it. Tests in one process don't: the program is the test there.
var supervised bool

// attach makes this process the child of the supervisor that word leads to. Native code prints on file descriptor 2,
// this program on the supervisor's standard error.
func attach(word string) {
	l, err := supervise.Attach(word)
	if err != nil {
		fmt.Fprintf(os.Stderr, "gpt2wgpu: %s: %v; hint: gpt2wgpu train\n", trainChild, err)
		os.Exit(exitUsage)
	}
	link, os.Stderr = l, l.Stderr
	nameProcess()
}

// supervisorStops is closed when the supervisor asks this process to stop.
func supervisorStops() <-chan struct{} {
	if link == nil {
		return nil
	}
	return link.Stop()
}

// continued makes the flags those of what the supervisor wants: its directory, and after a restart what an earlier
// process has begun there.
func (t *trainFlags) continued(h supervise.Hello) {
	t.fs.Set("out", h.Out)
	if h.Resume && !t.cfg.Resume {
		t.fs.Set("resume", "true")
		t.config, t.preset = "", "" // the run's own config.json has what they say
	}
}

// watched is what a run needs to know of its supervisor.
func (e *env) watched(l *supervise.Link) *train.Supervised {
	return &train.Supervised{
		Restarts: l.Restarts, First: l.First,
		Began: func(step int) {
			e.began = true
			l.Began(step)
		},
		Opened: func(d *gpu.Device) {
			l.Watch(func() supervise.Pulse { return supervise.Pulse(d.Pulse()) })
		},
	}
}

// end reports the error that ends a supervised process, to its supervisor where another process may not meet it: a
// device that was lost in the middle of a run, or is not back yet after that.
func (e *env) end(err error) (code int) {
	var device *gpu.DeviceError
	if errors.As(err, &device) && (e.began || link.Resume) {
		text, _, _ := strings.Cut(errorLines(err)[0], "; hint: ")
		link.End(supervise.Failed, text)
		return exitFailed
	}
	code = e.report(err)
	link.End(supervise.Ended, "")
	return code
}

// endByPanic ends a supervised process as a crash in native code does: its supervisor gets the stack and the reason.
func endByPanic(reason any) (code int) {
	fmt.Fprintf(crashOutput, "panic: %v\n\n%s", reason, debug.Stack())
	link.End(supervise.Failed, fmt.Sprintf("internal error: %v", reason))
	return exitFailed
}

// wantsSupervisor reports whether the run is one to start again: it has a directory, and no launcher that has its own
// ways.
func (t *trainFlags) wantsSupervisor(c train.Job) bool {
	return supervised && !c.NoSupervise && c.Out != "" && !ranks.Launched(os.Getenv)
}

// childEnded is the error of a supervised run whose process has ended with that code, and has reported why.
type childEnded struct{ code int }

func (c *childEnded) Error() string { return fmt.Sprintf("exit code %d", c.code) }

// supervise lets a child train, and starts it again when it crashes.
func (e *env) supervise(ctx context.Context, c train.Job) error {
	claim, err := train.ClaimOut(ctx, c, e.log)
	if err != nil {
		return err
	}
	defer claim.Release()
	s := &supervise.Supervisor{
		Command: trainingProcess, Out: c.Out, Lock: claim.Lock(), Crash: train.CrashLog(c.Out), Most: c.MaxRestarts,
		Patience: gpu.Patience(), Progress: func() (int, int) { return train.Progress(c.Out) },
	}
	begun := false
	s.Resume = func() bool {
		defer func() { begun = true }()
		return begun && train.HasRun(c.Out)
	}
	restore := terminalAsItWas()
	s.Restarting = func(r supervise.Restart) { restore(); e.sayRestart(c, r) }
	atOnce = s.Kill
	quit := make(chan struct{})
	s.Quit = quit
	talker.Store(&speech{quit: sync.OnceFunc(func() { close(quit) })}) // the child says that it stops
	// What settling took: from here on this process waits.
	debug.FreeOSMemory()
	code, err := s.Run(ctx)
	restore()
	var crash *supervise.CrashedError
	var quitted *supervise.QuitError
	switch {
	case errors.As(err, &quitted):
		text := "ended at once, by Ctrl-\\ or SIGQUIT"
		if quitted.Printed != "" {
			text += "; where the training was is in " + quitted.Printed
		}
		if train.HasRun(c.Out) {
			_, saved := train.Progress(c.Out)
			text += fmt.Sprintf("; hint: --out %s --resume goes on from step %d", shell.Word(c.Out), saved)
		}
		e.log.Warn(text)
		return &childEnded{exitQuit}
	case errors.As(err, &crash):
		return fmt.Errorf("%w; hint: %s", err, e.afterCrash(c, crash))
	case err != nil:
		return err
	case code != exitDone:
		return &childEnded{code}
	}
	return nil
}

// sayRestart says in one line why the training is started again, and where it goes on.
func (e *env) sayRestart(c train.Job, r supervise.Restart) {
	logged, saved := train.Progress(c.Out)
	text := "the training process crashed"
	if logged >= 0 {
		text += fmt.Sprintf(" after step %d", logged)
	}
	text += ": " + r.Reason
	if r.Printed != "" {
		text += "; what it printed is in " + r.Printed
	}
	if r.Delay > 0 {
		text += fmt.Sprintf("; in %v", r.Delay)
	}
	from := "the run starts again at step 0"
	if saved > 0 {
		from = fmt.Sprintf("the run goes on from the checkpoint of step %d", saved)
	}
	text += fmt.Sprintf("; %s (restart %d of at most %d without progress)", from, r.In, c.MaxRestarts)
	e.log.Warn(text, train.NewEvent("restart", "step", saved, "reason", r.Reason, "crash_log", r.Printed))
}

// afterCrash says what to do about a run that crashes again and again.
func (e *env) afterCrash(c train.Job, crash *supervise.CrashedError) string {
	if !train.HasRun(c.Out) {
		return "gpt2wgpu selftest tests the device, --no-supervise shows the crash itself"
	}
	_, saved := train.Progress(c.Out)
	return fmt.Sprintf("--out %s --resume goes on from step %d; gpt2wgpu selftest tests the device", shell.Word(c.Out),
		saved)
}

// trainingProcess makes the child: this program again, with the same flags. On Linux it is the very file that runs
// here, should another have taken its name since.
func trainingProcess(word string) *exec.Cmd {
	program := "/proc/self/exe"
	if _, err := os.Stat(program); runtime.GOOS != "linux" || err != nil {
		if program, err = os.Executable(); err != nil {
			program = os.Args[0]
		}
	}
	cmd := exec.Command(program, append([]string{trainChild, word}, os.Args[1:]...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout = os.Stdin, os.Stdout
	return cmd
}

// nameProcess gives the process a name of its own in top and ps, where the system allows it.
func nameProcess() {
	if runtime.GOOS == "linux" {
		os.WriteFile("/proc/self/comm", []byte("gpt2wgpu-train"), 0)
	}
}
