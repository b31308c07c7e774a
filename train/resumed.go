package train

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// What a resumed run says at its start: which settings have changed since its checkpoint, and what that does.

// UsageError is a mistake in the settings that only data or a checkpoint shows.
type UsageError struct{ Err error }

func (u *UsageError) Error() string { return u.Err.Error() }
func (u *UsageError) Unwrap() error { return u.Err }

func usagef(format string, args ...any) error { return &UsageError{fmt.Errorf(format, args...)} }

// errFinished ends a run that has nothing to do.
var errFinished = errors.New("finished")

// change is a setting that a resumed run has now and had then.
type change struct {
	Setting
	was, is any
}

// changedSince returns the settings of the run that differ from those of was. Where the run lies is none.
func (j Job) changedSince(was Config) (out []change) {
	before, now := Job{Config: was}.Resolved(), j.Resolved()
	for _, s := range Settings {
		if s.Invocation || s.Name == "out" || s.Name == "val_fraction" && j.ValFraction == AutoFraction {
			continue
		}
		if c := (change{s, s.value(before), s.value(now)}); c.was != c.is {
			out = append(out, c)
		}
	}
	return out
}

// shown is a value as a command line has it.
func shown(v any) string {
	if v == "" {
		return "''"
	}
	return fmt.Sprint(v)
}

// resumed logs what has changed since the checkpoint that the run goes on from. Errors: nothing is left to do, or a
// changed setting that a resumed run does not read.
func (r *run) resumed(s State) error {
	if s.Step == r.cfg.Steps && !r.unscored {
		r.env.Log.Info(fmt.Sprintf("finished: %d of %d steps; --steps N continues", s.Step, r.cfg.Steps),
			NewEvent("finished", "step", s.Step, "steps", r.cfg.Steps))
		return errFinished
	}
	if s.Step > r.cfg.Steps {
		return usagef("--steps is %d, but the run has done %d; hint: --steps %d or more continues", r.cfg.Steps, s.Step,
			s.Step+1)
	}
	for _, c := range r.cfg.changedSince(s.Config) {
		if c.Name == "init" {
			return usagef("--init %s has no effect with --resume, since the run goes on from its checkpoint; hint: "+
				"leave --init out, or start a new run with another --out", shown(c.is))
		}
	}
	r.sayChanges(s.Config, s.Step)
	return nil
}

// sayChanges logs which settings the run goes on with at step that were others.
func (r *run) sayChanges(before Config, step int) {
	changes := r.cfg.changedSince(before)
	if len(changes) == 0 {
		return
	}
	var list []string
	fields := []any{"step", step}
	rates := false
	for _, c := range changes {
		list = append(list, fmt.Sprintf("--%s %s -> %s", c.Flag(), shown(c.was), shown(c.is)))
		fields = append(fields, c.Name, c.is)
		rates = rates || c.rate
	}
	text := "settings changed: " + strings.Join(list, ", ")
	if was, is := LearningRate(before, step), LearningRate(r.cfg.Config, step); rates && was != is {
		text += fmt.Sprintf("; learning rate at step %d: %s -> %s", step, rate(was), rate(is))
	} else if rates {
		text += fmt.Sprintf("; learning rate at step %d: %s as before", step, rate(is))
	}
	r.env.Log.Info(text, NewEvent("settings changed", fields...))
}

func rate(v float64) string {
	if v == 0 || math.IsNaN(v) {
		return fmt.Sprint(v)
	}
	return fmt.Sprintf("%.2e", v)
}
