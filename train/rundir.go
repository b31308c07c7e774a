package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// The run's directory: who may write there, what is in it already, and where a resumed run goes on.

const (
	configFile  = "config.json"
	metricsFile = "metrics.jsonl"
	lockFile    = "lock"
)

// lockPatience is how long a start waits for the process before it in the same directory to end. Tests shorten it.
var lockPatience = 5 * time.Second

// takeLock is replaced by tests.
var takeLock = lock.Take

// claimOut makes --out, proves that it can be written, and holds its lock until close. It comes before data, model and
// device are opened, and before anything in the directory is read.
func (r *run) claimOut(ctx context.Context) error {
	out := r.cfg.Out
	if out == "" || r.group.Rank() > 0 {
		return nil
	}
	if err := r.cfg.Validate(); err != nil {
		return err
	}
	if err := CheckOut(r.cfg); err != nil {
		return err
	}
	if _, err := os.Stat(out); errors.Is(err, fs.ErrNotExist) {
		r.madeOut = true
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return unwritable(out, err)
	}
	probe, err := os.CreateTemp(out, ".probe-*")
	if err != nil {
		return unwritable(out, err)
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return unwritable(out, err)
	}
	r.lock, err = takeLock(ctx, filepath.Join(out, lockFile), lockPatience, func(o lock.Owner) {
		r.env.Log.Info(fmt.Sprintf("%s is in use by %v: waiting %v for it to end", out, o, lockPatience))
	})
	var held *lock.HeldError
	switch {
	case errors.As(err, &held):
		return fmt.Errorf("--out %s: in use by %v; hint: wait for it to end or stop it, or take another --out", out,
			held.Owner)
	case errors.Is(err, lock.ErrUnsupported):
		r.env.Log.Warn("the run's directory is on a file system without locks: nothing keeps a second process out "+
			"of it", "out", out)
	case ctx.Err() != nil:
		return fmt.Errorf("%w before the run began", ErrInterrupted)
	case err != nil:
		return unwritable(out, err)
	}
	return nil
}

func unwritable(out string, err error) error {
	return fmt.Errorf("--out %s: cannot be written: %w; hint: check its permissions and the disk's free space, or "+
		"take another --out", out, atomicfile.Reason(err))
}

// CheckOut refuses a --out that cannot be a run's directory, without making it: --dry-run does no more.
func CheckOut(c Job) error {
	if c.Out == "" {
		return nil
	}
	info, err := os.Stat(c.Out)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("--out %s: a file, want a directory; hint: take another --out", c.Out)
	case errors.Is(err, fs.ErrNotExist) && c.Resume:
		return fmt.Errorf("--out %s: no complete checkpoint to resume from, since there is no such directory; hint: "+
			"check the path; without --resume a new run starts there", c.Out)
	case err == nil:
		err = writable(c.Out)
	case errors.Is(err, fs.ErrNotExist):
		err = writable(existing(filepath.Dir(c.Out)))
	}
	if err != nil {
		return unwritable(c.Out, err)
	}
	return nil
}

// existing returns the nearest directory above path, or path itself, that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || filepath.Dir(path) == path {
			return path
		}
		path = filepath.Dir(path)
	}
}

// leaveOut gives the lock back. Where no run has begun, the settings that this process has written go, and the
// directory if it has made that too.
func (r *run) leaveOut() {
	if r.noted && !r.begun {
		os.Remove(filepath.Join(r.cfg.Out, configFile))
	}
	if r.madeOut && !r.begun {
		// while it is held: who waits for it fails in the missing directory
		os.Remove(filepath.Join(r.cfg.Out, lockFile))
	}
	r.lock.Release()
	if r.madeOut && !r.begun {
		os.Remove(r.cfg.Out) // unless there is something in it
	}
}

// refuseUsedOut keeps a new run from mixing with an older one in its directory, or with a model.
func (r *run) refuseUsedOut() error {
	if r.cfg.Out == "" {
		return nil
	}
	has := func(name string) bool {
		info, err := os.Stat(filepath.Join(r.cfg.Out, name))
		return err == nil && (info.IsDir() || info.Size() > 0)
	}
	switch {
	case len(gpt2.Checkpoints(r.cfg.Out)) > 0:
		return fmt.Errorf("--out %s: holds a run already (%s); hint: --resume continues it, another --out starts a "+
			"new one", r.cfg.Out, gpt2.CheckpointsDir)
	case hasSettings(r.cfg.Out):
		return fmt.Errorf("--out %s: holds a run already, without a checkpoint; hint: --resume starts it at step 0 "+
			"with its own settings, another --out starts a new one", r.cfg.Out)
	case has(configFile):
		return fmt.Errorf("--out %s: holds a %s that is not a run's; hint: another --out", r.cfg.Out, configFile)
	case has(metricsFile):
		return fmt.Errorf("--out %s: holds a %s, but neither settings nor a checkpoint to resume; hint: another "+
			"--out, or remove that file", r.cfg.Out, metricsFile)
	}
	return nil
}

// RunConfig sets c to the settings of the run in dir, as --resume takes them: those of its config.json, or where that
// is missing or damaged those of its newest readable checkpoint. It returns the names of the settings that it has set,
// none if there is no run. Errors: neither can be read, or dir holds a model and no run.
func RunConfig(dir string, c *Config) (names []string, err error) {
	path := filepath.Join(dir, configFile)
	_, err = os.Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if !missing && !gpt2.IsRun(dir) && isModel(path) {
		hint := fmt.Sprintf("--init %s starts a new run from its weights", dir)
		if parent := filepath.Dir(filepath.Clean(dir)); filepath.Base(parent) == gpt2.CheckpointsDir {
			hint = fmt.Sprintf("--out %s, and the name of this checkpoint in %s", filepath.Dir(parent),
				filepath.Join(parent, gpt2.LatestFile))
		}
		return nil, fmt.Errorf("--out %s: holds a model, not a run; hint: %s", dir, hint)
	}
	if !missing {
		if names, err = ReadConfig(path, c); err == nil && len(names) > 0 {
			return names, nil
		}
	}
	for _, checkpoint := range candidates(dir) {
		if s, stateErr := readState(checkpoint); stateErr == nil {
			*c = s.Config
			return settingNames(), nil
		}
	}
	if missing {
		return nil, nil
	}
	return nil, err
}

// hasSettings reports whether a directory has the config.json of a run.
func hasSettings(dir string) bool {
	names, err := ReadConfig(filepath.Join(dir, configFile), &Config{})
	return err == nil && len(names) > 0
}

// isModel reports whether a config.json is that of a Hugging Face model.
func isModel(path string) bool {
	var fields map[string]json.RawMessage
	raw, err := os.ReadFile(path)
	return err == nil && exactjson.Unmarshal(raw, &fields) == nil && fields["model_type"] != nil
}

// candidates returns the directories of a run's checkpoints in the order in which a resume tries them: the one that
// `latest` names, those before it from the newest on, and those after it, which are there if `latest` was changed by
// hand.
func candidates(run string) (dirs []string) {
	names := gpt2.Checkpoints(run)
	raw, _ := os.ReadFile(latestFile(run))
	if latest := strings.TrimSpace(string(raw)); latest == filepath.Base(latest) && filepath.IsLocal(latest) {
		var before, after []string // newest first
		for _, name := range names {
			switch from := stepOf(latest); {
			case name == latest:
			case stepOf(name) < from || from < 0:
				before = append(before, name)
			default:
				after = append(after, name)
			}
		}
		names = slices.Concat([]string{latest}, before, after)
	}
	for _, name := range names {
		dirs = append(dirs, filepath.Join(run, gpt2.CheckpointsDir, name))
	}
	return dirs
}

func latestFile(run string) string {
	return filepath.Join(run, gpt2.CheckpointsDir, gpt2.LatestFile)
}

// stepOf returns the step in a checkpoint's name, or -1.
func stepOf(name string) int {
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "step-")); err == nil && strings.HasPrefix(name, "step-") {
		return n
	}
	return -1
}
