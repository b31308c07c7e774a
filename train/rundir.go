package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/exactjson"
	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// The run's directory: who may write there, what is in it already, and where a resumed run goes on.

const (
	configFile  = "config.json"
	metricsFile = "metrics.jsonl"
	lockFile    = "lock"
	crashFile   = "crash.log"
)

// lockPatience is how long a start waits for the process before it in the same directory to end. Tests shorten it.
var lockPatience = 5 * time.Second

// takeLock is replaced by tests.
var takeLock = lock.Take

// Claim is the directory of a run that this process holds. The zero Claim is none.
type Claim struct {
	out  string
	lock *lock.Lock // nil: the file system has no locks
	made bool       // the lock's file was not there before
	undo func()     // removes the directories that were made, if they are empty
}

// ClaimOut makes the directory of j's run, proves that it can be written, and holds its lock until Release. It comes
// before data, model and device are opened, and before anything in the directory is read. Errors: settings that no run
// has; a directory that cannot be made or written, or that another process holds; ErrInterrupted.
func ClaimOut(ctx context.Context, j Job, log *slog.Logger) (c Claim, err error) {
	out := j.Out
	if err := j.Validate(); err != nil {
		return c, err
	}
	if err := CheckOut(j); err != nil {
		return c, err
	}
	c.out = out
	if _, err := os.Lstat(filepath.Join(out, lockFile)); errors.Is(err, fs.ErrNotExist) {
		c.made = true
	}
	if c.undo, err = atomicfile.MakeDir(out); err == nil {
		err = probe(out)
	}
	if err != nil {
		c.undo()
		c.undo = nil
		return c, unwritable(out, err)
	}
	c.lock, err = takeLock(ctx, filepath.Join(out, lockFile), lockPatience, func(o lock.Owner) {
		log.Info(fmt.Sprintf("%s is in use by %v: waiting %v for it to end", out, o, lockPatience))
	})
	var held *lock.HeldError
	switch {
	case errors.As(err, &held):
		return c, fmt.Errorf("--out %s: in use by %v; hint: wait until it and its training process have ended, "+
			"or stop them, or take another --out", out,
			held.Owner)
	case errors.Is(err, lock.ErrUnsupported):
		log.Warn("the run's directory is on a file system without locks: nothing keeps a second process out "+
			"of it", "out", out)
	case errors.Is(err, plainfile.ErrKind):
		return c, fmt.Errorf("--out %s: %s: %w; hint: remove it, or take another --out", out, lockFile,
			atomicfile.Reason(err))
	case ctx.Err() != nil:
		return c, fmt.Errorf("%w before the run began", ErrInterrupted)
	default:
		return c, unwritable(out, err)
	}
	return c, nil
}

// Lock returns the file of the lock, which a child process inherits that works in the directory; nil: there is none.
func (c Claim) Lock() *os.File { return c.lock.File() }

// Release gives the directory back. What was made for the run goes if none has begun: the lock's file, and directories
// with nothing else in them.
func (c Claim) Release() {
	if c.made && !HasRun(c.out) {
		c.lock.Remove()
	} else {
		c.lock.Release()
	}
	if c.undo != nil {
		c.undo()
	}
}

// claimOut claims --out, unless a supervisor holds it.
func (r *run) claimOut(ctx context.Context) (err error) {
	if r.cfg.Out != "" && r.group.Rank() == 0 && r.env.Supervised == nil {
		r.claim, err = ClaimOut(ctx, r.cfg, r.env.Log)
	}
	return err
}

// probe makes a file in dir and removes it.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}

// unwritable says that err keeps a run's directory from being written; nil: nothing does.
func unwritable(out string, err error) error {
	if err == nil {
		return nil
	}
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
	case err == nil || errors.Is(err, fs.ErrNotExist):
		err = writable(existing(c.Out))
	}
	return unwritable(c.Out, err)
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

// leaveOut gives the directory back. Where no run has begun, the settings that this process has written go.
func (r *run) leaveOut() {
	if r.noted && !r.begun {
		os.Remove(filepath.Join(r.cfg.Out, configFile))
	}
	r.claim.Release()
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
// none where no run is. Errors: neither can be read, or dir holds a model only.
func RunConfig(dir string, c *Config) (names []string, err error) {
	path := filepath.Join(dir, configFile)
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, nil // CheckOut reports it
	}
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
		if names, err = readRunConfig(dir, c); err == nil && len(names) > 0 {
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
	names, err := readRunConfig(dir, &Config{})
	return err == nil && len(names) > 0
}

// isModel reports whether a config.json is that of a Hugging Face model.
func isModel(path string) bool {
	var fields map[string]json.RawMessage
	raw, err := plainfile.ReadIn(filepath.Dir(path), configFile, maxConfig)
	return err == nil && exactjson.Unmarshal(raw, &fields) == nil && fields["model_type"] != nil
}

// candidates returns the directories of a run's checkpoints in the order in which a resume tries them: the one that
// `latest` names, those before it from the newest on, and those after it, which are there if `latest` was changed by
// hand.
func candidates(run string) (dirs []string) {
	names := gpt2.Checkpoints(run)
	raw, _ := plainfile.ReadIn(filepath.Join(run, gpt2.CheckpointsDir), gpt2.LatestFile, 1<<10)
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

// Supervised is what a run needs to know where another process watches over it, holds its directory, and starts it
// again when it crashes.
type Supervised struct {
	Restarts []string          // why the run was started again, of each time that no process has recorded yet
	First    int               // the step at which the supervised run began; -1: it begins now
	Opened   func(*gpu.Device) // gets the device; nil: nobody asks
	Began    func(step int)    // is called before the first step, with Restarts recorded; nil: nobody asks
}

// HasRun reports whether dir holds something to resume: settings or a checkpoint.
func HasRun(dir string) bool { return hasSettings(dir) || len(gpt2.Checkpoints(dir)) > 0 }

// Progress returns the newest step that the run in dir has logged, -1 for none, and that of its newest checkpoint, at
// which a resume begins unless it is damaged, 0 for none.
func Progress(dir string) (logged, saved int) {
	logged, _ = metrics.Newest(filepath.Join(dir, metricsFile))
	if path, err := gpt2.LatestCheckpoint(dir); err == nil {
		saved = max(stepOf(filepath.Base(path)), 0)
	}
	return logged, saved
}

// CrashLog returns the file in a run's directory that has what crashed processes have printed.
func CrashLog(dir string) string { return filepath.Join(dir, crashFile) }

// RunsDir is where runs without --out go, and where commands look for the newest one.
const RunsDir = "runs"

// MakeRunDir makes the directory of a new run, dir/name-N, and returns its path. N is one more than the largest there.
// No two processes get the same. Errors: those of the file system, with a hint.
func MakeRunDir(dir, name string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", runDirError(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", runDirError(err)
	}
	largest := 0
	for _, e := range entries {
		if number, ok := strings.CutPrefix(e.Name(), name+"-"); ok {
			if n, err := strconv.Atoi(number); err == nil && n < maxCount {
				largest = max(largest, n)
			}
		}
	}
	for n := largest + 1; ; n++ {
		path := filepath.Join(dir, fmt.Sprintf("%s-%d", name, n))
		if err := os.Mkdir(path, 0o755); !errors.Is(err, fs.ErrExist) {
			return path, runDirError(err)
		}
	}
}

func runDirError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the run's directory: %w; hint: --out DIR where you may write, or --out \"\" to save "+
		"nothing", err)
}

// RemoveUnused removes a directory of [MakeRunDir], and its parent, as far as a run has left nothing in them: no
// checkpoint and no line of metrics. Files that the run made at its start go with it.
func RemoveUnused(path string) {
	if info, err := os.Stat(filepath.Join(path, metricsFile)); err == nil && info.Size() > 0 {
		return
	}
	if _, err := os.Stat(filepath.Join(path, gpt2.CheckpointsDir)); err == nil {
		return
	}
	for _, name := range []string{configFile, metricsFile, lockFile, lockFile + ".json"} { // not what a crash printed
		os.Remove(filepath.Join(path, name))
	}
	if os.Remove(path) == nil { // fails where there is anything else
		os.Remove(filepath.Dir(path))
	}
}

// NewestRun returns the directory in dir whose run was worked on last, or "".
func NewestRun(dir string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var newest string
	var when time.Time
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		for _, mark := range []string{configFile, metricsFile, filepath.Join(gpt2.CheckpointsDir, gpt2.LatestFile)} {
			if info, err := os.Stat(filepath.Join(path, mark)); err == nil && info.ModTime().After(when) {
				newest, when = path, info.ModTime()
			}
		}
	}
	return newest
}

// checkpointBytes returns about how many bytes a checkpoint of the run takes on the disk: weights, the optimizer's
// state and the momentum of outer steps in float32 with their headers, and the small files.
func (c Config) checkpointBytes() uint64 {
	const (
		entry = 115     // of a safetensors header, for a tensor
		texts = 8 << 10 // config.json, state.json and the like
	)
	bytes := texts + tokenizerBytes[c.Tokenizer]
	add := func(values int) { bytes += 4*values + entry }
	for _, p := range gpt2.Table(c.Model()) {
		add(p.Size())
		if c.local() {
			add(p.Size())
		}
	}
	for _, t := range c.optimizer().State(c.Model()) {
		add(t.Size())
	}
	return uint64(bytes)
}

// tokenizerBytes is what the files of a tokenizer take.
var tokenizerBytes = map[string]int{"gpt2": 1600 << 10, "bytes": 8 << 10}

// checkSpace refuses to train where the disk cannot hold one more checkpoint, and warns where it cannot hold those that
// --keep keeps beside the one that is being written.
func (r *run) checkSpace() error {
	if r.cfg.Out == "" || r.group.Rank() > 0 {
		return nil
	}
	free, known := freeSpace(r.cfg.Out)
	if !known {
		return nil
	}
	one := r.cfg.checkpointBytes()
	if free < one {
		return fmt.Errorf("--out %s: %s free, a checkpoint takes %s; hint: free space on this disk, or take an --out "+
			"on another", r.cfg.Out, gpu.HumanBytes(free), gpu.HumanBytes(one))
	}
	r.infof("a checkpoint takes %s; %s free in %s", gpu.HumanBytes(one), gpu.HumanBytes(free), r.cfg.Out)
	most := r.cfg.mostCheckpoints() - len(gpt2.Checkpoints(r.cfg.Out))
	if most > 1 && free < one*uint64(most) {
		r.warnf("the disk may be full before the run ends: %s free, %d more checkpoints of %s "+
			"may be kept (--keep %d, and the one being written); hint: free space, or a smaller --keep",
			gpu.HumanBytes(free), most, gpu.HumanBytes(one), r.cfg.Keep)
	}
	return nil
}

// mostCheckpoints returns how many checkpoints there are at most at a time.
func (c Config) mostCheckpoints() int {
	saves := 1
	if c.SaveEvery > 0 {
		saves += c.Steps / c.SaveEvery
	}
	if c.Keep > 0 && (saves > c.Keep || c.SaveMinutes > 0) {
		return c.Keep + 1 // the oldest goes when the newest is complete
	}
	return saves
}

// freeSpace returns the bytes that this process may still write to dir's file system; it is replaced by tests.
var freeSpace = func(dir string) (free uint64, known bool) {
	path, err := filepath.EvalSymlinks(existing(dir))
	if err != nil {
		return 0, false
	}
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return 0, false
	}
	return diskFree(path)
}
