package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gpt2wgpu/gpt2wgpu/train"
)

// A flag that is given and can have no effect is refused: who gives it expects something. Only flags of the command
// line count, not what presets and files say; and one that switches off what is off already is not a mistake.

// idle collects such flags.
type idle struct {
	fs   *flagSet
	errs []error
}

// given reports whether a flag is given with another value than the one that switches it off.
func (i *idle) given(flag string) bool {
	f := i.fs.Lookup(flag)
	return f != nil && f.Changed && f.Value.String() != "0" && f.Value.String() != "" && f.Value.String() != "false"
}

// refuse refuses those of flags (words) that are given, if when; why completes "has no effect".
func (i *idle) refuse(when bool, flags, why, hint string) {
	for _, flag := range strings.Fields(flags) {
		if when && i.given(flag) {
			i.errs = append(i.errs, fmt.Errorf("--%s has no effect %s; hint: %s", flag, why, hint))
		}
	}
}

func (i *idle) err() error { return errors.Join(i.errs...) }

// idleFlags are those of train. What depends on the data is refused when that is opened.
func (t *trainFlags) idleFlags(c train.Job) error {
	i := &idle{fs: t.fs}
	leave := "leave it out"
	i.refuse(c.Schedule == "constant", "min-lr", "with --schedule constant, which stays at --lr",
		"--schedule cosine, or "+leave)
	i.refuse(c.WeightDecay == 0, "decay", "with --weight-decay 0", "--weight-decay 0.1, or "+leave)
	i.refuse(t.outGiven && c.Out == "", "save-every save-minutes keep", "with --out '', which saves nothing",
		"--out DIR, or "+leave)
	i.refuse(c.ValEvery == 0, "val-data val-fraction val-steps", "with --val-every 0, which never validates",
		"--val-every 50, or "+leave)
	i.refuse(c.Hellaswag == "", "hellaswag-every", "without --hellaswag", "--hellaswag FILE, or --hellaswag fetch")
	i.refuse(c.HellaswagEvery == 0, "hellaswag", "with --hellaswag-every 0, which never measures",
		"--hellaswag-every 250, or "+leave)
	i.refuse(c.SyncEvery == 1, "outer-lr outer-momentum", "with --sync-every 1, which has no outer step",
		"--sync-every 20, or "+leave)
	i.refuse(c.SyncEvery > 1 && c.Ranks > 1, "check-every", "with --sync-every above 1, which lets the ranks differ",
		"--sync-every 1, or "+leave)
	i.refuse(c.SampleEvery == 0 && c.FromWeights() && !c.Resume, "seed", "with --init and --sample-every 0, where "+
		"nothing is drawn", leave)
	i.refuse(c.Ranks <= 1, "check-every grad-dtype", "with one rank: there are no others to compare and exchange with",
		"mpirun -np 2 gpt2wgpu train …, or "+leave)
	return i.err()
}
