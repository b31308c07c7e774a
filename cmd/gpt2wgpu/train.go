package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/mpi"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
	"github.com/gpt2wgpu/gpt2wgpu/train/report"
)

var trainCommand = &command{
	group: "Models",
	name:  "train",
	short: "Train from scratch, from pretrained weights, or go on with a run",
	long: `
A flag overrides --config, which overrides --preset; the defaults are those of the preset tiny. With --resume the
run's own config.json is the --config. Without --out a run is kept in a new directory, runs/PRESET-N.

With --init the shape, the tokenizer and the longest sequence are those of the weights, and --lr, --muon-lr and
--warmup-steps are a tenth of the preset's unless they are given; --min-lr keeps the preset's proportion to --lr.

An interrupt, SIGTERM or a hangup ends a run after its step with a checkpoint; a second interrupt ends it at once. A run
that is saved trains in a process of its own, which is started again from the newest checkpoint when it crashes or its
device stops answering (not under mpirun; see docs/reliability.md).

Presets:

` + presetList(),
	examples: []string{
		"gpt2wgpu train",
		"gpt2wgpu train --out runs/first --steps 2000",
		"gpt2wgpu train --preset first-steps --data input.txt --out runs/shakespeare",
		"gpt2wgpu train --preset gpt2-124m --batch-size 4 --dry-run",
		"mpirun -np 4 gpt2wgpu train --preset gpt2-124m --out runs/four",
	},
	setup: func(fs *flagSet) runFunc {
		t := newTrainFlags(fs)
		return func(ctx context.Context, e *env, _ []string) (result error) {
			group, err := mpi.Join()
			if err != nil {
				return err
			}
			e.group = group
			if link != nil {
				t.continued(link.Hello)
			}
			c, err := t.settle()
			c.Ranks, c.Given = group.Size(), t.fs.Changed
			if err == nil {
				err = t.check(c)
			} else {
				err = &train.UsageError{Err: err}
			}
			if err := ranks.Together(group, err); err != nil {
				return err
			}
			en := train.Env{Log: e.log, Stdout: e.stdout, Version: programVersion(), Program: typedName(os.Args[0]),
				Group: group, Tuner: e.tuner()}
			if t.dryRun {
				return train.DryRun(c, en)
			}
			made, err := t.makeOut(group, &c)
			if err := ranks.Together(group, err); err != nil {
				return err
			}
			if made != "" {
				defer func() {
					if result != nil {
						train.RemoveUnused(made)
					}
				}()
			}
			address := t.dashboard
			if link != nil || group.Rank() > 0 { // the process that outlives crashes serves it
				address = ""
			}
			watch, stop, err := e.serveTraining(context.WithoutCancel(ctx), address, c.Out)
			if err := ranks.Together(group, err); err != nil {
				return err
			}
			defer stop()
			if t.wantsSupervisor(c) {
				return e.supervise(ctx, c)
			}
			e.lastingOutput()
			en.Stdout = e.stdout
			shown, err := e.showProgress(t.progress, &en)
			if err != nil {
				return err
			}
			defer shown.close()
			if t.profile {
				c.Profile = reportProfile(e.stderr, c.Out)
			}
			en.Fetch = func(c *train.Config, init bool) error { return fetchForTrain(ctx, e, c, init) }
			if link != nil {
				en.Supervised = e.watched(link)
			}
			if t.tensorboard {
				events := &eventFile{out: c.Out, log: e.log}
				defer events.close()
				en.Watch = en.Watch.With(train.Watch{Began: events.began, Record: events.record})
			}
			if watch.Record != nil {
				en.Watch = en.Watch.With(watch)
			}
			err = train.Run(ctx, c, en)
			shown.close()
			if group.Rank() == 0 && c.Out != "" && (err == nil || errors.Is(err, train.ErrInterrupted)) {
				e.writeReport(c.Out, en.Program)
			}
			return err
		}
	},
}

// writeReport writes the report of a run that has ended, which its result does not depend on.
func (e *env) writeReport(out, program string) {
	if err := report.Write(out, program); err != nil {
		e.log.Warn(err.Error())
		return
	}
	page := filepath.Join(out, report.PageFile)
	e.log.Info("report "+page, train.NewEvent("report", "path", page))
}

// makeOut makes the directory of a new run that has no --out, on rank 0, and returns its path; the others learn it from
// train.Run.
func (t *trainFlags) makeOut(group ranks.Group, c *train.Job) (made string, err error) {
	if group.Rank() > 0 || c.Out != "" || t.outGiven {
		return "", nil
	}
	made, err = train.MakeRunDir(train.RunsDir, cmp.Or(t.preset, train.Presets[0].Name))
	c.Out = made
	return made, err
}

// check reports what is wrong with the settings, and with the flags beside them.
func (t *trainFlags) check(c train.Job) error {
	if c.Resume && c.Out == "" {
		return usagef("--resume needs the run's directory; hint: --out %s --resume",
			cmp.Or(train.NewestRun(train.RunsDir), "DIR"))
	}
	bad := &mistakes{fs: t.fs, errs: []error{c.Validate(), checkProgress(t.progress)}}
	bad.idleFlags(c, t.outGiven)
	return bad.err()
}

// fetchForTrain brings what the settings name into the cache; init: the weights of --init too.
func fetchForTrain(ctx context.Context, e *env, c *train.Config, init bool) (err error) {
	if init && gpt2.Published(c.Init) {
		if _, err := fetchData(ctx, e, c.Init, 0, false); err != nil {
			return fmt.Errorf("--init %w", err)
		}
	}
	if c.Hellaswag != "" && c.HellaswagEvery == 0 {
		e.log.Warn("HellaSwag won't be measured: --hellaswag-every is 0; hint: --hellaswag-every 250")
	} else if c.Hellaswag, err = hellaswagSpec(ctx, e, c.Hellaswag); err != nil {
		return err
	}
	return nil
}

func presetList() string {
	var b strings.Builder
	longest := 0
	for _, p := range train.Presets {
		longest = max(longest, len(p.Name))
	}
	for _, p := range train.Presets {
		fmt.Fprintf(&b, "  %-*s  %s\n", longest, p.Name, p.Short)
	}
	return b.String()
}

// trainFlags are the flags of train; cfg is where the settings among them are stored.
type trainFlags struct {
	fs              *flagSet
	cfg             train.Job
	preset, config  string
	dryRun, profile bool
	tensorboard     bool
	progress        string
	dashboard       string // an address; empty: none
	outGiven        bool   // by --out or in a file, be it empty
}

func newTrainFlags(fs *flagSet) *trainFlags {
	t := &trainFlags{fs: fs, cfg: train.Job{Config: train.DefaultConfig()}}
	c := &t.cfg
	c.MaxRestarts = 5

	var f *pflag.FlagSet
	for _, s := range train.Settings {
		if s.Section != "" {
			f = fs.section(s.Section)
		}
		switch p := s.In(c).(type) {
		case *int:
			f.IntVar(p, s.Flag(), *p, s.Usage)
		case *uint64:
			f.Uint64Var(p, s.Flag(), *p, s.Usage)
		case *float64:
			if s.Auto {
				f.Var((*fraction)(p), s.Flag(), s.Usage)
			} else {
				f.Float64Var(p, s.Flag(), *p, s.Usage)
			}
		case *string:
			f.StringVar(p, s.Flag(), *p, s.Usage)
		case *bool:
			f.BoolVar(p, s.Flag(), *p, s.Usage)
		}
		takes(f, s.Flag(), s.Words()...)
	}

	f = fs.section("Other")
	f.StringVar(&t.preset, "preset", "", "start from the settings of this `name`: "+strings.Join(presetNames(), ", "))
	f.StringVar(&t.config, "config", "", "start from the settings in this JSON `file`, such as a run's config.json")
	f.BoolVar(&t.dryRun, "dry-run", false, "print the plan (shapes, parameters, bytes of device memory by role, "+
		"steps) and allocate nothing")
	f.BoolVar(&t.profile, "profile", false, "time every kernel of one step, the fourth, and print the breakdown at "+
		"the end on standard error")
	f.BoolVar(&t.tensorboard, "tensorboard", false,
		"write an event file for TensorBoard into the run's directory too: "+
			"losses, learning rate, gradient norm, speed, samples and settings")
	f.StringVar(&t.dashboard, "dashboard", "", "serve live curves at this `address`, HOST:PORT or PORT, while the run "+
		"trains (see gpt2wgpu help dashboard)")
	f.StringVar(&t.progress, "progress", "auto", "`how` steps are shown: panel (on a terminal, with keys; ? lists "+
		"them), lines, none (only events), auto: the panel where there can be one")
	takes(f, "progress", progresses...)
	fs.logFlags(f)
	return t
}

func presetNames() (names []string) {
	for _, p := range train.Presets {
		names = append(names, p.Name)
	}
	return names
}

// fraction is a flag's number whose default is a rule, which its help says in words.
type fraction float64

func (f *fraction) String() string {
	if *f < 0 {
		return ""
	}
	return strconv.FormatFloat(float64(*f), 'g', -1, 64)
}
func (f *fraction) Type() string { return "fraction" }
func (f *fraction) Set(s string) error {
	v, err := strconv.ParseFloat(s, 64)
	if err == nil && v < 0 { // which is AutoFraction's place
		return errors.New("negative")
	}
	*f = fraction(v)
	return err
}

// settle returns the settings of the run: explicit flag > --config > --preset > default. Where only the preset speaks,
// it gives way to what the flags imply: the shape and tokenizer of --init weights, a vocabulary that holds the
// tokenizer, a sequence no longer than the context. The flags must be parsed.
func (t *trainFlags) settle() (train.Job, error) {
	explicit := map[*pflag.Flag]string{} // Visit sees the flags that were set
	t.fs.Visit(func(f *pflag.Flag) { explicit[f] = f.Value.String() })
	base := train.DefaultConfig()
	if t.preset != "" {
		p, err := train.FindPreset(t.preset)
		if err != nil {
			return train.Job{}, err
		}
		base = p.Config
	}
	preset := base
	var inFile []string
	var err error
	if t.config != "" {
		inFile, err = train.ReadConfig(t.config, &base)
	} else if t.cfg.Resume && t.cfg.Out != "" {
		inFile, err = train.RunConfig(t.cfg.Out, &base) // none: what is missing will be reported
	}
	if err != nil {
		return train.Job{}, err
	}
	if p := preset; t.preset != "" && t.cfg.Resume && inFile != nil && !base.FromWeights() && base.NLayer != p.NLayer &&
		!t.fs.Changed("n-layer") {
		return train.Job{}, fmt.Errorf("--preset %s has no effect with --resume, which takes the run's own settings "+
			"(%d layers, the preset has %d); hint: leave --preset out, or start a new run with another --out",
			t.preset, base.NLayer, p.NLayer)
	}
	t.cfg.Config = base // the flags point into it
	for f, value := range explicit {
		if err := f.Value.Set(value); err != nil {
			return train.Job{}, err
		}
	}

	c := t.cfg
	if c.Resume && t.fs.Changed("init") && c.Init != base.Init && len(gpt2.Checkpoints(c.Out)) > 0 {
		return c, fmt.Errorf("--init has no effect with --resume, since the run goes on from its checkpoint; hint: " +
			"leave --init out, or start a new run with another --out")
	}
	t.outGiven = t.fs.Changed("out") || slices.Contains(inFile, "out")
	fromFile := inFile != nil && c.Init == base.Init // the file's shape is that of these weights
	given := func(flag string) bool {
		return t.fs.Changed(flag) || slices.Contains(inFile, strings.ReplaceAll(flag, "-", "_"))
	}
	theirs := func(flag string) bool { return !t.fs.Changed(flag) && !(fromFile && given(flag)) }
	return c.Settled(preset, given, theirs)
}

// typedName returns how a person starts this program again: by its path where that was typed, else by its name.
func typedName(arg0 string) string {
	if strings.ContainsRune(arg0, filepath.Separator) && !filepath.IsAbs(arg0) {
		return arg0
	}
	return "gpt2wgpu"
}
