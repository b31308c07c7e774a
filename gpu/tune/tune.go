package tune

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/shaders"
)

// Tuner measures tiles and keeps what it chose.
type Tuner struct {
	Dir      string                              // of the files; empty: nothing is kept
	Version  string                              // of the program
	Child    func(ctx context.Context) *exec.Cmd // a command that runs Child on its standard input and output
	Log      *slog.Logger
	Budget   time.Duration // of Tune; 0: 20 s, on software devices 60 s
	Again    bool          // Tune measures what the cache has too
	Patience time.Duration // for a child's next line, compilation included; 0: 30 s, on software devices 2 min

	Progress func(done, all int, most time.Duration) // kinds of products, and the longest time left; nil: not wanted
}

// file is what the cache holds: tiles, and beside them what they are for, to be read by people.
type file struct {
	Adapter gpu.AdapterInfo `json:"adapter"`
	Version string          `json:"version"`
	Kernels string          `json:"kernels"` // a hash of the kernels' text
	Tuning  op.Tuning       `json:"tuning"`
	Steps   map[string]bool `json:"steps,omitempty"` // hashes of tiles that were faster in a whole step too
}

// Path returns the file of an adapter under this version. Its name is a hash of all that a choice depends on.
func (t *Tuner) Path(info gpu.AdapterInfo) string {
	info.Index = 0 // where it stands in the list may change
	raw, err := json.Marshal(info)
	if err != nil {
		panic(err) // strings and numbers
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%s\n%s", raw, t.Version, shaders.Fingerprint(),
		op.Fingerprint(op.TargetFor(info, info.Limits)))
	return filepath.Join(t.Dir, fmt.Sprintf("%x.json", h.Sum(nil)[:16]))
}

// Cached returns what was chosen on an adapter before, nil if nothing was. It ignores a file that can't be used, with a
// warning.
func (t *Tuner) Cached(info gpu.AdapterInfo) op.Tuning { return t.read(info).Tuning }

func (t *Tuner) read(info gpu.AdapterInfo) (f file) {
	if t.Dir == "" {
		return f
	}
	path := t.Path(info)
	raw, err := plainfile.Read(path, 16<<20)
	if errors.Is(err, fs.ErrNotExist) {
		return f
	}
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err == nil {
		err = f.Tuning.Validate(op.TargetFor(info, info.Limits))
	}
	if err != nil {
		t.Log.Warn("tiles of an earlier tuning are not used", "file", path, "reason", err)
		return file{}
	}
	return f
}

// Tune returns tiles for the classes of uses that list names: those in the cache, and others as far as time allows,
// which it adds to the cache. list gets what is chosen so far and builds the programs under it, on a plan: the
// classifier's chunks decide on the shapes of other products. Where the driver is not known, so that another one may
// have come, a tile of the cache is measured against the fixed one again, for some milliseconds. In the end the whole
// step, which the child builds from step as JSON, decides between the chosen tiles and the fixed ones; nil: it does
// not. Errors: of list; no child starts, or all die; ctx ended. What was chosen until then is returned and kept in any
// case.
func (t *Tuner) Tune(ctx context.Context, info gpu.AdapterInfo, list func(op.Tuning) ([]op.Use, error), step any) (
	op.Tuning, error) {
	s := &session{Tuner: t, info: info, target: op.TargetFor(info, info.Limits), skip: map[string][]int{},
		tuning: op.Tuning{}, again: map[string]bool{}, steps: map[string]bool{}}
	if !t.Again {
		f := t.read(info)
		maps.Copy(s.tuning, f.Tuning)
		maps.Copy(s.steps, f.Steps)
		for class := range s.tuning {
			s.again[class] = !info.DriverKnown()
		}
	}
	budget, patience := 20*time.Second, 30*time.Second
	if info.Software() {
		budget, patience = time.Minute, 2*time.Minute
	}
	s.patience = cmp.Or(t.Patience, patience)
	start := time.Now()
	err := s.run(ctx, list, step, start.Add(cmp.Or(t.Budget, budget)))
	if s.found > 0 {
		t.Log.Info(fmt.Sprintf("tiles of %d kinds of products chosen in %.1f s", s.found, time.Since(start).Seconds()))
	}
	if s.changed {
		if failed := t.keep(info, s.tuning, s.steps); failed != nil {
			t.Log.Warn("the chosen tiles are not kept for the next run", "reason", failed)
		}
	}
	return s.tuning, err
}

// keep adds tiles to the file; that of another process that tuned at the same time stays.
func (t *Tuner) keep(info gpu.AdapterInfo, tuning op.Tuning, steps map[string]bool) error {
	if t.Dir == "" {
		return nil
	}
	f := t.read(info)
	f.Adapter, f.Version, f.Kernels = info, t.Version, shaders.Fingerprint()
	f.Tuning, f.Steps = merged(f.Tuning, tuning), merged(f.Steps, steps)
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.Dir, 0o755); err != nil {
		return err
	}
	return atomicfile.Write(t.Path(info), append(raw, '\n'))
}

// merged returns the entries of both; those of b replace a's.
func merged[M ~map[K]V, K comparable, V any](a, b M) M {
	both := M{}
	maps.Copy(both, a)
	maps.Copy(both, b)
	return both
}

// session is one Tune.
type session struct {
	*Tuner
	info    gpu.AdapterInfo
	target  op.Target
	tuning  op.Tuning
	again   map[string]bool // classes of tuning that are to be measured again
	steps   map[string]bool // see file
	skip    map[string][]int
	found   int  // classes that had no tile
	changed bool // tuning or steps
	downs   int  // children that died

	done, all int // kinds of products, for Progress

	patience time.Duration // for a child's next line
}

func (s *session) run(ctx context.Context, list func(op.Tuning) ([]op.Use, error), step any, deadline time.Time) error {
	for {
		uses, err := list(s.tuning)
		if err != nil {
			return err
		}
		work, later := s.pending(uses)
		s.all = max(s.all, s.done+len(work)+later)
		if len(work) == 0 {
			if lost, err := s.wholeStep(ctx, uses, step, deadline); !lost || err != nil {
				return err
			}
			continue // fixed tiles may have other classes
		}
		unknown := len(slices.DeleteFunc(slices.Clone(work), func(j job) bool { return j.Kept != nil }))
		if left := time.Until(deadline); left > 0 && unknown > 0 {
			s.Log.Info(fmt.Sprintf(
				"choosing tiles of %d kinds of products, for up to %.0f s; hint: --no-autotune does without",
				unknown, math.Ceil(left.Seconds())))
		}
		for len(work) > 0 {
			if time.Now().After(deadline) {
				s.Log.Info(fmt.Sprintf("no time to measure %d more kinds of products; hint: gpt2wgpu tune goes on",
					len(work)))
				return nil
			}
			before := len(work) + s.downs
			r := request{Info: s.info, Target: s.target, Tuning: s.tuning, Work: work, Skip: s.skip}
			if _, err := s.child(ctx, r, deadline); err != nil {
				return err
			}
			work = slices.DeleteFunc(work, func(j job) bool { return s.settled(j.Use.Class) })
			if len(work)+s.downs == before && time.Now().Before(deadline) {
				return errors.New("tuning: the child process measured nothing; hint: --no-autotune does without")
			}
		}
	}
}

// settled says whether a class needs no measuring.
func (s *session) settled(class string) bool {
	_, done := s.tuning[class]
	return done && !s.again[class]
}

// pending returns the classes to measure, those with the most operations first. While the classifier has one it is the
// only one, since it decides on the shapes of others: later is how many these are.
func (s *session) pending(uses []op.Use) (work []job, later int) {
	total, at := map[string]float64{}, map[string]int{}
	for _, u := range uses {
		if s.settled(u.Class) {
			continue
		}
		total[u.Class] += u.FLOPs
		i, seen := at[u.Class]
		if !seen {
			tiles := op.Candidates(s.target, u)
			kept, ok := s.tuning[u.Class]
			if len(tiles) < 2 || ok && kept.String() == tiles[0].String() {
				continue
			}
			at[u.Class] = len(work)
			work = append(work, job{Use: u})
			if ok {
				work[len(work)-1].Kept = &kept
			}
			continue
		}
		j := &work[i]
		if j.Use.Detail == u.Detail {
			if u.FLOPs > j.Use.FLOPs {
				j.Use = u
			}
		} else if !slices.ContainsFunc(j.Others, func(o op.Use) bool { return o.Detail == u.Detail }) {
			j.Others = append(j.Others, u)
		}
	}
	classifier := slices.DeleteFunc(slices.Clone(work), func(j job) bool { return j.Use.Op != "classifier" })
	if len(classifier) > 0 {
		work, later = classifier, len(work)-len(classifier)
	}
	slices.SortStableFunc(work, func(a, b job) int { return cmp.Compare(total[b.Use.Class], total[a.Use.Class]) })
	return work, later
}

// wholeStep lets a child measure the step with the tiles that were chosen for uses and with the fixed ones. Where those
// are faster the chosen ones have lost: the fixed ones replace them.
func (s *session) wholeStep(ctx context.Context, uses []op.Use, step any, deadline time.Time) (lost bool, err error) {
	chosen, fixed := op.Tuning{}, op.Tuning{}
	for _, u := range uses {
		if tile, ok := s.tuning[u.Class]; ok {
			if tiles := op.Candidates(s.target, u); len(tiles) > 1 && tile.String() != tiles[0].String() {
				chosen[u.Class], fixed[u.Class] = tile, tiles[0]
			}
		}
	}
	raw, err := json.Marshal(struct {
		Step  any
		Tiles op.Tuning
	}{step, chosen})
	if err != nil {
		return false, err
	}
	hash := sha256.Sum256(raw)
	key := fmt.Sprintf("%x", hash[:8])
	if step == nil || len(chosen) == 0 || s.steps[key] {
		return false, nil
	}
	r := request{Info: s.info, Target: s.target, Tuning: chosen}
	if r.Step, err = json.Marshal(step); err != nil {
		return false, err
	}
	e, err := s.child(ctx, r, deadline)
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case err != nil || e.Fixed == 0:
		if err == nil {
			err = errLate
		}
		s.Log.Warn("the chosen tiles were not measured in a whole step; hint: gpt2wgpu tune goes on", "reason", err)
		return false, nil
	}
	s.changed = true
	s.Log.Info(fmt.Sprintf("a whole step: %.3g ms with the chosen tiles, %.3g ms with the fixed ones",
		e.Time.Seconds()*1e3, e.Fixed.Seconds()*1e3))
	if e.Time < e.Fixed {
		s.steps[key] = true
		return false, nil
	}
	s.Log.Warn("the chosen tiles are slower in a whole step and are not used")
	maps.Copy(s.tuning, fixed)
	return true, nil
}

// mostDowns ends a session whose children die all the time: the device itself is the reason.
const mostDowns = 8

// child lets one child measure until it is done, dies, or stops answering. It returns the last event.
func (s *session) child(ctx context.Context, r request, deadline time.Time) (last event, err error) {
	life, stop := context.WithCancel(ctx)
	defer stop()
	r.Budget = time.Until(deadline)
	raw, err := json.Marshal(r)
	if err != nil {
		return last, err
	}
	cmd := s.Child(life)
	var said bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(raw), &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	switch {
	case ctx.Err() != nil:
		return last, ctx.Err()
	case err != nil:
		return last, fmt.Errorf("tuning: no child process: %w; hint: --no-autotune does without", err)
	}
	dog := time.AfterFunc(s.patience, stop)
	defer dog.Stop()
	var trying event // not answered yet
	for lines := bufio.NewScanner(out); lines.Scan(); {
		dog.Reset(s.patience)
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // a driver that prints
		}
		trying, last = event{}, e
		if e.Kind == "chosen" {
			s.done++
		}
		if s.Progress != nil {
			s.Progress(min(s.done, s.all), s.all, max(0, time.Until(deadline)))
		}
		switch e.Kind {
		case "try":
			trying = e
			s.Log.Debug("trying", "class", e.Class, "tile", e.Tile)
		case "drop":
			s.Log.Warn("a tile is not used", "class", e.Class, "tile", e.Tile, "reason", e.Error)
		case "chosen":
			again := s.again[e.Class]
			s.choose(e.Class, e.Tile)
			if again {
				continue
			}
			s.found++
			if e.Candidate == 0 {
				s.Log.Info(fmt.Sprintf("%s: %.3g ms with the fixed tile, none is faster", e.Class,
					e.Fixed.Seconds()*1e3))
			} else {
				s.Log.Info(fmt.Sprintf("%s: %.3g ms, %.3g ms with the fixed tile", e.Class, e.Time.Seconds()*1e3,
					e.Fixed.Seconds()*1e3), "tile", e.Tile)
			}
		}
	}
	err = cmd.Wait()
	lastWords := strings.TrimSpace(said.String())
	lastWords = lastWords[strings.LastIndexByte(lastWords, '\n')+1:]
	switch {
	case ctx.Err() != nil:
		return last, ctx.Err()
	case err == nil:
		return last, nil
	case life.Err() != nil:
		err = fmt.Errorf("no answer in %v", s.patience)
	}
	if trying.Kind == "" {
		return last, fmt.Errorf("tuning: the child process failed: %w: %s; hint: --no-autotune does without",
			err, lastWords)
	}
	s.downs++
	s.Log.Warn("a tile took its process down and is not used", "class", trying.Class, "tile", trying.Tile, "reason",
		err, "said", lastWords)
	s.skip[trying.Class] = append(s.skip[trying.Class], trying.Candidate)
	if trying.Candidate == 0 { // without the fixed one there is nothing to compare with
		s.choose(trying.Class, trying.Tile)
	}
	if s.downs >= mostDowns {
		return last, fmt.Errorf("tuning: %d child processes died; hint: --no-autotune does without", s.downs)
	}
	return last, nil
}

// choose takes a tile for a class.
func (s *session) choose(class string, tile op.Tile) {
	if was, ok := s.tuning[class]; ok && s.again[class] && was.String() != tile.String() {
		s.Log.Warn("a tile of an earlier run has lost to the fixed one and is not used", "class", class, "tile", was)
	}
	s.changed, s.tuning[class] = true, tile
	delete(s.again, class)
}
