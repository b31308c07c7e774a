package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
)

// talker is how the running command speaks; nil before there is one.
var talker atomic.Pointer[speech]

type speech struct {
	log  *slog.Logger
	step bool   // the command stops after its step
	quit func() // ends the command at once; nil: nothing is to be done before the process ends
}

// stopSignals are those that end a command: an interrupt, a request to terminate (on Windows: the console closes, the
// user logs off), and a hangup unless nohup has made the process ignore it.
func stopSignals() []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	for _, s := range hangups {
		if !signal.Ignored(s) {
			list = append(list, s)
		}
	}
	return list
}

// repeated is how soon after the first signal another is the same request: `timeout` and supervisors signal the process
// and then its group.
const repeated = 200 * time.Millisecond

// atOnce ends what must end before this process: a bar, or the supervisor's child.
var atOnce = func() {}

// watchSignals calls cancel at the first signal that asks to stop, and ends the process at the second one. A hangup
// never counts as the second: a terminal that closes sends it twice, by the kernel and by the shell. Neither does a
// signal that comes within repeated of the first.
//
// A supervised process may be asked by its supervisor, by a terminal, which signals both, or by both: all are one
// request, and only the supervisor knows a second.
func watchSignals(cancel context.CancelFunc) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, stopSignals()...)
	keepBrokenPipes()
	watchQuit()
	go func() {
		var s os.Signal
		select {
		case s = <-signals:
		case <-supervisorStops():
			s = os.Interrupt
		}
		cancel()
		sayStopping()
		said, asked := time.Now(), !isHangup(s)
		for s := range signals {
			if time.Since(said) < repeated || isHangup(s) {
				continue
			}
			if asked && link == nil {
				atOnce()
				os.Exit(exitInterrupted)
			}
			asked = true
		}
	}()
}

// watchQuit makes SIGQUIT end the process with one line, since Ctrl-\ is also hit by mistake. Go's default, the stacks
// of all goroutines, stays for SIGABRT, with GOTRACEBACK set, and in a supervised process, where they go to crash.log.
func watchQuit() {
	if link != nil || os.Getenv("GOTRACEBACK") != "" {
		return
	}
	signals := make(chan os.Signal, 1)
	for _, s := range quits {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	go func() {
		<-signals
		t := talker.Load()
		if t != nil && t.quit != nil {
			t.quit()
			return
		}
		atOnce()
		const text = "ended at once, by Ctrl-\\ or SIGQUIT; hint: to see where a program hangs, set GOTRACEBACK=all"
		switch l, _ := ranks.ReadLaunch(os.Getenv); {
		case l.Rank != 0: // the first says it
		case t != nil && t.log != nil:
			t.log.Warn(text)
		default:
			fmt.Fprintln(os.Stderr, "gpt2wgpu: "+text)
		}
		os.Exit(exitQuit)
	}()
}

// sayStopping says what the first signal does. Of several ranks, which mpirun interrupts all, one does.
func sayStopping() {
	if l, _ := ranks.ReadLaunch(os.Getenv); l.Rank != 0 {
		return
	}
	if t := talker.Load(); t != nil && t.log == nil {
		return // the training process says it
	} else if t != nil {
		when := map[bool]string{true: " once this step is done"}[t.step]
		t.log.Warn("stopping" + when + "; interrupt again to stop at once")
	} else {
		fmt.Fprintln(os.Stderr, "gpt2wgpu: stopping")
	}
}

func isHangup(s os.Signal) bool { return slices.Contains(hangups, s) }
