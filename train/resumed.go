package train

import (
	"errors"
	"fmt"
	"math"
	"reflect"
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
	flag, was, is string
	value         any // what it is, for programs
}

// changedSince returns the settings of c that differ from those of was, in the order of Config. Where the run lies is none.
func (c Job) changedSince(was Config) (out []change) {
	a, b := reflect.ValueOf(Job{Config: was}.Resolved().Config), reflect.ValueOf(c.Resolved().Config)
	for i := range a.NumField() {
		name := a.Type().Field(i).Tag.Get("json")
		if name == "out" || name == "val_fraction" && c.ValFraction == AutoFraction || a.Field(i).Equal(b.Field(i)) {
			continue
		}
		show := func(v reflect.Value) string {
			if v.Kind() == reflect.String && v.String() == "" {
				return "''"
			}
			return fmt.Sprint(v)
		}
		out = append(out, change{"--" + strings.ReplaceAll(name, "_", "-"), show(a.Field(i)), show(b.Field(i)), b.Field(i).Interface()})
	}
	return out
}

// ratesOf are the settings that decide on the learning rate.
var ratesOf = map[string]bool{"--steps": true, "--lr": true, "--min-lr": true, "--warmup-steps": true, "--schedule": true, "--decay-fraction": true}

// resumed logs what has changed since the checkpoint that the run goes on from. Errors: nothing is left to do, or a changed
// setting that cannot count any more.
func (r *run) resumed(s State) error {
	if s.Step == r.cfg.Steps && !r.unscored {
		r.env.Log.Info(fmt.Sprintf("finished: %d of %d steps; --steps N continues", s.Step, r.cfg.Steps), NewEvent("finished", "step", s.Step, "steps", r.cfg.Steps))
		return errFinished
	}
	if s.Step > r.cfg.Steps {
		return usagef("--steps is %d, but the run has done %d; hint: --steps %d or more continues", r.cfg.Steps, s.Step, s.Step+1)
	}
	for _, c := range r.cfg.changedSince(s.Config) {
		if c.flag == "--init" {
			return usagef("--init %s has no effect with --resume, since the run goes on from its checkpoint; hint: leave --init out, or start a new run with another --out", c.is)
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
		list = append(list, fmt.Sprintf("%s %s -> %s", c.flag, c.was, c.is))
		fields = append(fields, strings.ReplaceAll(c.flag[2:], "-", "_"), c.value)
		rates = rates || ratesOf[c.flag]
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
