package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// usagef returns a mistake in the command line.
func usagef(format string, args ...any) error {
	return &train.UsageError{Err: fmt.Errorf(format, args...)}
}

// mistakes collects the mistakes of a command line, so that all are reported at once.
type mistakes struct {
	fs   *flagSet
	errs []error
}

// when records a mistake if the condition holds.
func (m *mistakes) when(wrong bool, format string, args ...any) {
	if wrong {
		m.errs = append(m.errs, fmt.Errorf(format, args...))
	}
}

// given reports whether a flag is given with another value than the one that switches it off.
func (m *mistakes) given(flag string) bool {
	f := m.fs.Lookup(flag)
	return f != nil && f.Changed && f.Value.String() != "0" && f.Value.String() != "" && f.Value.String() != "false"
}

// idle refuses those of flags (words) that are given, if when; why completes "has no effect". A flag that is given and
// can have no effect is refused: its user expects something. Only flags of the command line count, not what presets and
// files say. A flag that switches off what is off already is not a mistake.
func (m *mistakes) idle(when bool, flags, why, hint string) {
	for _, flag := range strings.Fields(flags) {
		m.when(when && m.given(flag), "--%s has no effect %s; hint: %s", flag, why, hint)
	}
}

// otherVerbs refuses flags of other verbs of the command than the one that was typed; empty: none was.
func (fs *flagSet) otherVerbs(verb string) (err error) {
	for _, s := range fs.sections {
		if len(s.verbs) == 0 || slices.Contains(s.verbs, verb) {
			continue
		}
		s.VisitAll(func(f *pflag.Flag) {
			if f.Changed && err == nil {
				of := strings.TrimSpace(fs.name + " " + s.verbs[len(s.verbs)-1])
				err = usagef("--%s is not a flag of %s; hint: it belongs to %s", f.Name,
					strings.TrimSpace(fs.name+" "+verb), of)
			}
		})
	}
	return err
}

// err returns all mistakes as one train.UsageError, nil if there are none.
func (m *mistakes) err() error {
	if err := errors.Join(m.errs...); err != nil {
		return &train.UsageError{Err: err}
	}
	return nil
}

// idleFlags are those of train. What depends on the data is refused when that is opened.
func (m *mistakes) idleFlags(c train.Job, outGiven bool) {
	const leave = "leave it out"
	m.idle(c.Schedule == "constant", "min-lr", "with --schedule constant, which stays at --lr",
		"--schedule cosine, or "+leave)
	m.idle(c.Schedule != "wsd", "decay-fraction", "with --schedule "+c.Schedule, "--schedule wsd, or "+leave)
	m.idle(c.Optimizer != "muon", "muon-lr muon-momentum muon-weight-decay", "with --optimizer "+c.Optimizer,
		"--optimizer muon, or "+leave)
	m.idle(c.FromWeights() && !c.Resume, "init-projections", "with --init, whose weights stay as they are", leave)
	m.idle(c.WeightDecay == 0, "decay", "with --weight-decay 0", "--weight-decay 0.1, or "+leave)
	m.idle(outGiven && c.Out == "", "save-every save-minutes keep tensorboard", "with --out '', which saves nothing",
		"--out DIR, or "+leave)
	m.idle(outGiven && c.Out == "", "max-restarts", "with --out '', where there is nothing to go on with",
		"--out DIR, or "+leave)
	m.idle(c.NoSupervise, "max-restarts", "with --no-supervise, which restarts nothing", leave)
	m.idle(c.Ranks > 1, "max-restarts", "with several ranks, which end together", "docs/reliability.md has a loop "+
		"that starts them again; "+leave)
	m.idle(c.ValEvery == 0, "val-data val-fraction val-steps", "with --val-every 0, which never validates",
		"--val-every 50, or "+leave)
	m.idle(c.Hellaswag == "", "hellaswag-every", "without --hellaswag", "--hellaswag FILE, or --hellaswag fetch")
	m.idle(c.HellaswagEvery == 0, "hellaswag", "with --hellaswag-every 0, which never measures",
		"--hellaswag-every 250, or "+leave)
	m.idle(c.SyncEvery == 1, "outer-lr outer-momentum", "with --sync-every 1, which has no outer step",
		"--sync-every 20, or "+leave)
	m.idle(c.SyncEvery > 1 && c.Ranks > 1, "check-every", "with --sync-every above 1, which lets the ranks differ",
		"--sync-every 1, or "+leave)
	m.idle(c.SampleEvery == 0 && c.FromWeights() && !c.Resume, "seed",
		"with --init and --sample-every 0, where nothing is drawn", leave)
	m.idle(c.Ranks <= 1, "check-every grad-dtype", "with one rank, which has no other rank to compare or exchange with",
		"mpirun -np 2 gpt2wgpu train …, or "+leave)
}
