package runs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// Followed is a run that is read again and again while it trains. It keeps only the newest steps and no texts, so its
// memory does not grow with the run's length.
type Followed struct {
	Run

	inMemory bool // without a directory
	lines    *metrics.Follower
	config   Stamp // of config.json, when it was read; zero: it was not yet
	settings []string
	bad      int     // damaged lines
	gone     float64 // seconds of the steps that were dropped
}

// keptLines is how many steps a Followed keeps. Rate looks back less far.
const keptLines = 2 * rateSteps

// Stamp is a file's size and time. A file with another stamp has changed. The zero value stands for a missing file.
type Stamp struct {
	Size int64
	Time time.Time
}

// StampOf returns the stamp of the file name in dir, or what a link in its place leads to in dir.
func StampOf(dir, name string) (s Stamp) {
	if info, err := plainfile.StatIn(dir, name); err == nil {
		s = Stamp{info.Size(), info.ModTime()}
	}
	return s
}

// Follow returns the run in dir, of which nothing is read yet.
func Follow(dir string) *Followed {
	f := &Followed{lines: metrics.Follow(filepath.Join(dir, MetricsFile), metrics.Position{})}
	f.Dir, f.State = dir, Empty
	return f
}

// FollowRecords returns a run without a directory, which this process trains. Describe sets its settings.
func FollowRecords(name string, records *metrics.Records) *Followed {
	f := &Followed{lines: records.Follow(metrics.Position{}), inMemory: true}
	f.Dir, f.State = name, Running
	return f
}

// Update reads what is new. Error: the directory holds no run any more.
func (f *Followed) Update() error {
	if !f.inMemory {
		info, err := os.Stat(f.Dir)
		if err != nil {
			return reason(err)
		}
		if !gpt2.IsRun(f.Dir) {
			return fmt.Errorf("%s: holds no run any more", f.Dir)
		}
		f.Changed = info.ModTime()
		f.dated(MetricsFile)
		f.dated(ConfigFile)
		if s := StampOf(f.Dir, ConfigFile); s != f.config || s == (Stamp{}) {
			f.config, f.Config, f.Settings, f.Trouble = s, Config{}, nil, nil // unless it can be read
			f.readConfig()
			f.settings = f.Trouble
		}
	}
	f.Trouble = slices.Clip(f.settings)
	for more := true; more; {
		p, err := f.lines.Next()
		if err != nil {
			f.troublef("%s: its curves are not known: %v", f.Dir, reason(err))
			break
		}
		if p.Anew {
			f.Train, f.Val, f.Hellaswag, f.Samples, f.Restarts, f.gone, f.bad = nil, nil, nil, nil, 0, 0, 0
		}
		for _, m := range p.Lines {
			f.add(m)
		}
		f.bad += p.Bad
		f.forget()
		more = p.More
	}
	if f.bad == 1 {
		f.troublef("%s: a damaged line of %s is left out", f.Dir, MetricsFile)
	} else if f.bad > 1 {
		f.troublef("%s: %d damaged lines of %s are left out", f.Dir, f.bad, MetricsFile)
	}
	if f.inMemory {
		f.Changed = time.Now()
	} else {
		f.State = f.state()
	}
	return nil
}

// forget drops the oldest steps, and all samples.
func (f *Followed) forget() {
	if n := len(f.Train) - keptLines; n > 0 {
		for _, m := range f.Train[:n] {
			if ms := float64(m.MS); ms > 0 {
				f.gone += ms / 1e3
			}
		}
		f.Train = append(f.Train[:0], f.Train[n:]...)
	}
	f.Samples = nil
}

// Seconds returns the time that all steps took together.
func (f *Followed) Seconds() float64 { return f.gone + f.Run.Seconds() }
