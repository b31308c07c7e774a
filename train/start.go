package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/ranks"
	"github.com/gpt2wgpu/gpt2wgpu/train/supervise"
)

// How a run begins, on one rank or several.

// warnings passes on records from the level of warnings up.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && w.Handler.Enabled(ctx, l)
}
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }
func (w warnings) WithGroup(g string) slog.Handler      { return warnings{w.Handler.WithGroup(g)} }

// origin is where a run begins: at a checkpoint, whose tensors only rank 0 has read, or at step 0 with weights that
// every rank has.
type origin struct {
	known
	weights   *gpt2.Weights
	optimizer [][]float32     // its state, in the order of its State
	momenta   [][]float32     // of outer steps; nil: none
	info      gpu.AdapterInfo // of this rank's device
}

// known is what rank 0 makes known to all.
type known struct {
	Checkpoint string
	State      State
	HasMomenta bool
	Unscored   bool

	Config    Config
	Resume    bool
	StopAfter int
	Tokenizer map[string][]byte // its files, if it is one that only rank 0 may have
}

// openRun looks at the run's directory, which only rank 0 needs to see, and makes the ranks agree on the settings.
func (r *run) openRun() (origin, error) {
	var s origin
	err := r.cfg.Validate()
	if err == nil && r.group.Rank() == 0 {
		s, err = r.readStart()
		r.unscored = err == nil && r.lacksScore(s)
	}
	if err := ranks.Together(r.group, err); err != nil || r.group.Size() == 1 {
		return s, err
	}
	s.Unscored, s.Config, s.Resume, s.StopAfter = r.unscored, r.cfg.Config, r.cfg.Resume, r.cfg.StopAfter
	if r.tok != nil {
		s.Tokenizer = data.TokenizerFiles(r.tok)
	}
	if err := ranks.Share(r.group, &s.known); err != nil {
		return s, err
	}
	if s.Tokenizer != nil && r.tok == nil {
		r.tok = data.TokenizerOfFiles(s.Config.Tokenizer, s.Tokenizer)
	}
	device, hellaswag := r.cfg.Device, r.cfg.Hellaswag
	r.unscored, r.cfg.Config, r.cfg.Resume, r.cfg.StopAfter = s.Unscored, s.Config, s.Resume, s.StopAfter
	r.cfg.Device = device
	if hellaswag != "" && r.cfg.Hellaswag != "" {
		r.cfg.Hellaswag = hellaswag // a path of this machine's cache
	}
	return s, nil
}

// lacksScore reports whether s is at the end of a run whose last measurement of HellaSwag was interrupted.
func (r *run) lacksScore(s origin) bool {
	if s.Checkpoint == "" || s.State.Step != r.cfg.Steps || !r.cfg.measuresHellaSwag() {
		return false
	}
	lines, err := metrics.Read(filepath.Join(r.cfg.Out, "metrics.jsonl"))
	return err == nil && !slices.ContainsFunc(lines,
		func(m metrics.Line) bool { return m.Kind == metrics.KindHellaswag && m.Step == r.cfg.Steps })
}

// readStart reads the checkpoint of --resume. A damaged one is passed over for the one before; a run that has none yet
// starts at step 0.
func (r *run) readStart() (s origin, err error) {
	if !r.cfg.Resume {
		if !r.cfg.FromWeights() {
			if r.tok, err = data.NewTokenizer(r.cfg.Tokenizer); err != nil {
				return s, err
			}
		}
		if err := r.refuseUsedOut(); err != nil || r.cfg.Out == "" {
			return s, err
		}
		r.noted = true // a run that is killed while it reads its data or compiles can be resumed too
		return s, r.writeConfig("")
	}
	out, latest := r.cfg.Out, latestFile(r.cfg.Out)
	dirs := candidates(out)
	settings := hasSettings(out)
	switch {
	case len(dirs) == 0 && settings:
		if r.env.Supervised == nil || len(r.env.Supervised.Restarts) == 0 { // else the supervisor has said so
			r.env.Log.Warn("the run has no checkpoint yet: it starts at step 0", "out", out)
		}
		was := r.cfg.Config
		if _, err := readRunConfig(out, &was); err != nil {
			return s, err
		}
		r.sayChanges(was, 0)
		return s, nil
	case len(dirs) == 0:
		return s, fmt.Errorf("--resume: %s: no complete checkpoint and no %s, so no run to go on with; hint: check "+
			"--out; without --resume a new run starts in an empty directory", out, configFile)
	case !settings:
		r.env.Log.Warn("the run's settings are those of its checkpoint, since its config.json is missing or damaged",
			"out", out)
	}
	raw, err := plainfile.ReadIn(filepath.Dir(latest), gpt2.LatestFile, 1<<10)
	if err != nil || strings.TrimSpace(string(raw)) != filepath.Base(dirs[0]) {
		r.warnf("%s names no checkpoint: the run goes on from the newest", latest)
	}
	var damaged []error
	for _, dir := range dirs {
		s, damage, err := r.readCheckpoint(dir)
		if err != nil {
			return origin{}, err
		}
		if damage == nil {
			for _, d := range damaged {
				r.warnf("a checkpoint cannot be used (%v): the run goes on from %s, the one "+
					"before; hint: %s names the checkpoint to resume from", d, filepath.Base(dir), latest)
			}
			return s, nil
		}
		text, _, _ := strings.Cut(damage.Error(), "; hint: ")
		damaged = append(damaged, fmt.Errorf("%s: %s", filepath.Base(dir), text))
	}
	return s, fmt.Errorf("--resume: no checkpoint in %s can be used: %w; hint: restore one from a copy and name it "+
		"in %s, or start a new run with another --out", filepath.Dir(latest), damaged[0], latest)
}

// readCheckpoint reads a checkpoint. damage is what keeps it from being read, err what refuses to resume at all.
func (r *run) readCheckpoint(dir string) (s origin, damage, err error) {
	s.Checkpoint = dir
	if damage = r.readFiles(&s); errors.Is(damage, fs.ErrPermission) {
		return s, nil, fmt.Errorf("--resume: %w; hint: check the permissions", damage)
	}
	if damage != nil {
		return s, damage, nil
	}
	if now, was := r.cfg.optimizer().Name(), s.State.Optimizer; now != was {
		hint := "leave --optimizer out"
		if !slices.Contains(optimizers, was) {
			hint = "resume with the program that wrote it, " + s.State.Version
		}
		return s, nil, fmt.Errorf("--resume: %s: the optimizer is %s, the run has %s, whose state cannot be taken "+
			"over; hint: %s, or start a new run from its weights: --init %s and another --out", dir, now, was, hint,
			r.cfg.Out)
	}
	if err := r.resumeTokenizer(s); err != nil {
		return s, nil, fmt.Errorf("--resume: %w", err)
	}
	if err := r.cfg.sameModel(s.State.Config); err != nil {
		return s, nil, fmt.Errorf("--resume: %s: %w", dir, err)
	}
	if !r.cfg.local() {
		s.momenta = nil
	}
	s.HasMomenta = s.momenta != nil
	return s, nil, nil
}

// readFiles reads the files of a checkpoint, of one of another optimizer only its state.
func (r *run) readFiles(s *origin) (err error) {
	dir := s.Checkpoint
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("it is missing: %w", atomicfile.Reason(err))
	}
	if s.State, err = readState(dir); err != nil || s.State.Optimizer != r.cfg.optimizer().Name() {
		return err
	}
	changed, err := s.State.verify(dir)
	if err != nil {
		return err
	}
	if len(changed) > 0 {
		r.env.Log.Warn("files of the checkpoint have changed, which a resume does not read", "checkpoint", dir, "files",
			strings.Join(changed, ", "))
	}
	if s.weights, err = gpt2.ReadDir(dir); err != nil {
		return err
	}
	if err := s.weights.CheckFinite(dir); err != nil {
		return err
	}
	shape := s.weights.Config
	s.optimizer, err = readTensors(filepath.Join(dir, optimizerFile), r.cfg.optimizer().State(shape))
	if err == nil && s.State.Config.local() {
		s.momenta, err = readTensors(filepath.Join(dir, outerFile), outerState(shape))
		if errors.Is(err, fs.ErrNotExist) { // the run had none
			err = nil
		}
	}
	return err
}

// resumeTokenizer takes the tokenizer of a checkpoint, and the ids that its weights came with. A --tokenizer that is
// the same in another place is not a change.
func (r *run) resumeTokenizer(s origin) (err error) {
	was := s.State.Config.Tokenizer
	if r.tok, err = data.ModelTokenizer("", s.State.Tokenizer, s.Checkpoint, s.State.Config.VocabSize); err != nil {
		return err
	}
	r.special = gpt2.ReadSpecial(s.Checkpoint)
	if r.cfg.Tokenizer != was {
		if now, err := data.NewTokenizer(r.cfg.Tokenizer); err == nil && data.SameTokenizer(now, r.tok) {
			r.cfg.Tokenizer = was
		}
	}
	return nil
}

// openParts opens all that a rank opens by itself but for the device, and completes s with the weights that a new run
// starts from.
func (r *run) openParts(s *origin) error {
	list, err := gpu.Adapters() // before anything that takes long
	if err == nil {
		s.info, err = gpu.ChooseLocal(list, r.cfg.Device, r.group.Local())
	}
	if err != nil {
		return &gpu.DeviceError{Err: err}
	}
	if s.Checkpoint != "" {
		if r.cfg = r.cfg.Resolved(); r.cfg.ValFraction == AutoFraction {
			r.cfg.ValFraction = s.State.Config.ValFraction
		}
	} else {
		b, err := r.cfg.begin(r.env.Log)
		if err != nil {
			return err
		}
		s.weights = b.weights
		if b.tok != nil {
			r.tok, r.special = b.tok, b.special
		}
	}
	r.wasFiles = s.State.DataFiles
	if err := r.openData(s.State.Data.Tokens); err != nil {
		return err
	}
	if r.val != nil {
		r.tokenBytes = data.TokenBytes(r.tok)
	}
	if err := r.checkData(*s); err != nil {
		return err
	}
	if s.weights == nil && s.Checkpoint == "" {
		s.weights = gpt2.Init(r.cfg.Model(), r.cfg.Seed)
		if r.cfg.InitProjections == "zero" {
			s.weights.ZeroProjections()
		}
	}
	return nil
}

// openDevice opens the device and makes all that the run has on it, with these tiles.
func (r *run) openDevice(tiles op.Tuning) (err error) {
	if r.dev, err = gpu.OpenLocal(r.cfg.Device, r.group.Local()); err != nil {
		return &gpu.DeviceError{Err: err}
	}
	if s := r.env.Supervised; s != nil && s.Opened != nil {
		s.Opened(r.dev)
	}
	r.watchDevice()
	r.compiled = ReportCompiling(r.dev, r.env.Log)
	if err := r.build(tiles); err != nil {
		return err
	}
	return r.openHellaSwag()
}

// watchDevice lets the other ranks learn that this one's device has ceased to answer.
func (r *run) watchDevice() {
	g, ok := r.group.(interface{ Watch(stuck func() bool) })
	if !ok {
		return
	}
	w, dev := supervise.NewWatch(gpu.Patience()), r.dev
	g.Watch(func() bool {
		w.Hear(supervise.Pulse(dev.Pulse()))
		w.Tick(time.Now())
		return w.Hung()
	})
}

// loadState brings weights, the optimizer's state and the position to the devices, and logs what they are.
func (r *run) loadState(s origin) error {
	if err := r.logDevices(); err != nil {
		return err
	}
	if s.Checkpoint == "" {
		if err := r.Model.Load(s.weights); err != nil {
			return err
		}
		return r.startOuter(nil)
	}
	r.infof("resuming after %d steps from %s", s.State.Step, s.Checkpoint)
	if s.weights == nil {
		s.weights = &gpt2.Weights{Config: r.cfg.Model(), Tensors: zeros(r.Model.Parameters())}
		s.optimizer = zeros(r.Optimizer.State())
		if s.HasMomenta {
			s.momenta = zeros(r.Model.Parameters())
		}
	}
	for _, tensors := range [][][]float32{s.weights.Tensors, s.optimizer, s.momenta} {
		for _, t := range tensors {
			if err := ranks.BcastFloats(r.group, t); err != nil {
				return err
			}
		}
	}
	if err := r.Model.Load(s.weights); err != nil {
		return err
	}
	for i, t := range r.Optimizer.State() {
		if err := r.dev.Upload(t, s.optimizer[i]); err != nil {
			return err
		}
	}
	if err := r.dev.Wait(); err != nil {
		return err
	}
	r.step, r.tokens, r.skipped, r.saved = s.State.Step, s.State.Tokens, s.State.Skipped, s.State.Step
	if err := r.startOuter(s.momenta); err != nil {
		return err
	}
	return r.loader.Seek(s.State.Data)
}

// zeros returns as many values as the tensors have.
func zeros(tensors []gpu.Tensor) (out [][]float32) {
	for _, t := range tensors {
		out = append(out, make([]float32, t.Len()))
	}
	return out
}

// logDevices logs every rank's device and notes whether they are of one kind.
func (r *run) logDevices() error {
	host, _ := os.Hostname()
	mine := make([]byte, 512)
	kind := fmt.Sprintf("%v\x00%s", r.dev.Info, r.dev.Info.Driver)
	copy(mine, kind+"\x00"+host)
	all, err := r.group.Allgather(mine)
	if err != nil {
		return err
	}
	for rank, b := range all {
		f := strings.Split(string(b), "\x00")
		if r.group.Size() == 1 {
			r.env.Log.Info("using device: " + f[0])
			continue
		}
		r.infof("using device: %s (rank %d of %d, on %s)", f[0], rank, r.group.Size(), f[2])
		first := strings.Split(string(all[0]), "\x00")
		r.mixed = r.mixed || f[0] != first[0] || f[1] != first[1]
	}
	if r.mixed {
		r.infof("devices of several kinds: they follow rank 0's parameters every %d steps "+
			"(--check-every)", r.cfg.CheckEvery)
	}
	return nil
}

// What a resumed run says at its start: which settings have changed since its checkpoint, and what that does.

// UsageError is a mistake in the command line, or in the settings.
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
