package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/cache"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/tune"
	"github.com/gpt2wgpu/gpt2wgpu/train"
	"github.com/gpt2wgpu/gpt2wgpu/train/oneline"
)

var tuneCommand = &command{
	group: "This machine",
	name:  "tune",
	short: "Choose the fastest tiles of matmul, attention and classifier for this GPU",
	long: `
Measures the kernels' variants at the shapes of a training step, checks their results against each other and by the
selftest, and keeps the fastest for later runs, which use them automatically. They must be faster in a whole micro-step
too, and are measured again at a run's start where the driver may have changed. On a GPU without an earlier choice,
train does this before its first step, for up to 20 seconds. On software devices, and for models below 10 million
parameters, train reuses an earlier choice and measures nothing. A run keeps the tiles that it began with: they are in
its checkpoints.`,
	examples: []string{
		"gpt2wgpu tune --preset gpt2-124m",
		"gpt2wgpu tune --preset first-steps --seconds 300",
	},
	setup: func(fs *flagSet) runFunc {
		t := &tuneFlags{fs: fs}
		f := fs.section("What")
		f.StringVar(&t.preset, "preset", "gpt2-124m", "the training step of this preset: `name` of "+
			strings.Join(presetNames(), ", "))
		f.StringVar(&t.config, "config", "", "the training step of the settings in this JSON `file`, such as a "+
			"run's config.json")
		f.IntVar(&t.batch, "batch-size", 0, "`sequences` of a micro-step (default: the preset's)")
		f.IntVar(&t.seqLen, "seq-len", 0, "`tokens` of a sequence (default: the preset's)")
		f.StringVar(&t.dtype, "dtype", "", "storage `type` of activations and matrices: f32, bf16 (default: the "+
			"preset's)")
		takes(f, "dtype", "f32", "bf16")
		f.IntVar(&t.seconds, "seconds", 0, "longest time in `seconds` (default: 20, on software devices 60)")
		f.BoolVar(&t.again, "again", false, "measure what was chosen before too")
		f = fs.section("Device")
		f.StringVar(&t.device, "device", "auto", train.DeviceUsage)
		f = fs.section("Output")
		asJSON := f.Bool("json", false, "print one JSON object, the tiles by the kind of product")
		fs.logFlags(f)
		return func(ctx context.Context, e *env, _ []string) error {
			c, err := t.settle()
			if err != nil {
				return &train.UsageError{Err: err}
			}
			info, err := gpu.Find(t.device)
			if err != nil {
				return err
			}
			tuner := newTuner(e)
			defer e.bars.Clear()
			tuner.Budget, tuner.Again = time.Duration(t.seconds)*time.Second, t.again
			e.log.Info(fmt.Sprintf("using device: %v", info))
			tiles, err := train.Tune(ctx, c, info, tuner)
			if err != nil {
				return err
			}
			e.log.Info("kept in " + tuner.Path(info))
			if *asJSON {
				return writeJSON(e.stdout, tiles)
			}
			return printTiles(e.stdout, tiles)
		}
	},
}

type tuneFlags struct {
	fs                            *flagSet
	preset, config, dtype, device string
	batch, seqLen, seconds        int
	again                         bool
}

// settle returns the settings of the step to tune for. The flags must be parsed.
func (t *tuneFlags) settle() (train.Job, error) {
	p, err := train.FindPreset(t.preset)
	if err != nil {
		return train.Job{}, err
	}
	c := train.Job{Config: p.Config}
	if t.config != "" {
		if _, err := train.ReadConfig(t.config, &c.Config); err != nil {
			return c, err
		}
	}
	c.BatchSize, c.SeqLen, c.DType = cmp.Or(t.batch, c.BatchSize), cmp.Or(t.seqLen, c.SeqLen), cmp.Or(t.dtype, c.DType)
	if t.seconds < 0 {
		return c, fmt.Errorf("--seconds is %d, want 1 or more; hint: leave it out", t.seconds)
	}
	c.TotalBatchSize = 0
	c = c.Resolved()
	return c, c.Validate()
}

// newTuner returns what this process chooses tiles with, keeping them in the user's cache directory. The child is this
// program again.
func newTuner(e *env) *tune.Tuner {
	m := newBar(e)
	return &tune.Tuner{
		Dir: filepath.Join(cache.Dir(), "tune"), Version: programVersion(), Log: e.log,
		Progress: func(done, all int, most time.Duration) {
			m.report(coming{what: "choosing tiles", done: int64(done), all: int64(all), word: numberWord,
				more: []string{fmt.Sprintf("at most %v", most.Round(time.Second))}})
		},
		Child: func(ctx context.Context) *exec.Cmd {
			program, err := os.Executable()
			if err != nil {
				program = os.Args[0]
			}
			return exec.CommandContext(ctx, program, tuneChild)
		},
	}
}

// tuneChild is the word that makes this program a Tuner's child. It is not a command: nobody types it.
const tuneChild = "tune-child"

// runTuneChild is the whole of such a process. An interrupt or a hangup of the terminal reaches it too, but its parent
// ends it.
func runTuneChild() int {
	signal.Ignore(append(hangups, os.Interrupt)...)
	if err := tune.Child(os.Stdin, os.Stdout, train.TuningStep); err != nil {
		fmt.Fprintln(os.Stderr, oneline.Of(err.Error()))
		return exitFailed
	}
	return exitDone
}

// autotune makes train and bench choose tiles; main sets it. Tests of the program don't: they neither read the user's
// cache nor start what os.Executable names.
var autotune bool

// tuner returns what train and bench choose tiles with, nil for none.
func (e *env) tuner() train.Tuner {
	if !autotune {
		return nil
	}
	return newTuner(e)
}

func printTiles(w io.Writer, tiles op.Tuning) error {
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tab, "PRODUCT\tTILE")
	for _, class := range slices.Sorted(maps.Keys(tiles)) {
		fmt.Fprintf(tab, "%s\t%v\n", class, tiles[class])
	}
	return tab.Flush()
}
