package tune

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	"sort"
	"strings"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/atomicfile"
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
}

// file is what the cache holds: tiles, and beside them what they are for, to be read by people.
type file struct {
	Adapter gpu.AdapterInfo `json:"adapter"`
	Version string          `json:"version"`
	Kernels string          `json:"kernels"` // a hash of the kernels' text
	Tuning  op.Tuning       `json:"tuning"`
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
	return filepath.Join(t.Dir, hex.EncodeToString(h.Sum(nil))[:32]+".json")
}

// Cached returns what was chosen on an adapter before, nil if nothing was. A file that can't be used is as none, and
// told.
func (t *Tuner) Cached(info gpu.AdapterInfo) op.Tuning {
	if t.Dir == "" {
		return nil
	}
	path := t.Path(info)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var f file
	if err == nil {
		err = json.Unmarshal(raw, &f)
	}
	if err == nil {
		err = f.Tuning.Validate(op.TargetFor(info, info.Limits))
	}
	if err != nil {
		t.Log.Warn("tiles of an earlier tuning are not used", "file", path, "reason", err)
		return nil
	}
	return f.Tuning
}

// Tune returns tiles for the classes of uses that list names: those in the cache, and others as far as time allows,
// which it adds to the cache. list gets what is chosen so far and builds the programs under it, on a plan: the
// classifier's chunks decide on the shapes of other products. Errors: of list; no child starts, or all die; ctx ended.
// What was chosen until then is returned and kept in any case.
func (t *Tuner) Tune(ctx context.Context, info gpu.AdapterInfo, list func(op.Tuning) ([]op.Use, error)) (op.Tuning,
	error) {
	tuning := op.Tuning{}
	if !t.Again {
		maps.Copy(tuning, t.Cached(info))
	}
	budget := t.Budget
	if budget == 0 {
		budget = 20 * time.Second
		if info.Software() {
			budget = time.Minute
		}
	}
	start, had := time.Now(), len(tuning)
	s := &session{Tuner: t, info: info, target: op.TargetFor(info, info.Limits), tuning: tuning,
		skip: map[string][]int{}}
	err := s.run(ctx, list, start.Add(budget))
	if len(tuning) > had {
		t.Log.Info(fmt.Sprintf("tiles of %d kinds of products chosen in %.1f s", len(tuning)-had,
			time.Since(start).Seconds()))
		if failed := t.keep(info, tuning); failed != nil {
			t.Log.Warn("the chosen tiles are not kept for the next run", "reason", failed)
		}
	}
	return tuning, err
}

// keep adds tiles to the file; that of another process that tuned at the same time stays.
func (t *Tuner) keep(info gpu.AdapterInfo, tuning op.Tuning) error {
	if t.Dir == "" {
		return nil
	}
	all := op.Tuning{}
	maps.Copy(all, t.Cached(info))
	maps.Copy(all, tuning)
	raw, err := json.MarshalIndent(file{info, t.Version, shaders.Fingerprint(), all}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.Dir, 0o755); err != nil {
		return err
	}
	return atomicfile.Write(t.Path(info), append(raw, '\n'))
}

// session is one Tune.
type session struct {
	*Tuner
	info   gpu.AdapterInfo
	target op.Target
	tuning op.Tuning
	skip   map[string][]int
	downs  int // children that died
}

func (s *session) run(ctx context.Context, list func(op.Tuning) ([]op.Use, error), deadline time.Time) error {
	for {
		uses, err := list(s.tuning)
		if err != nil {
			return err
		}
		work := s.pending(uses)
		if len(work) == 0 {
			return nil
		}
		if left := time.Until(deadline); left > 0 {
			s.Log.Info(fmt.Sprintf("choosing tiles of %d kinds of products, for up to %.0f s; hint: --no-autotune "+
				"does without",
				len(work), math.Ceil(left.Seconds())))
		}
		for len(work) > 0 {
			if time.Now().After(deadline) {
				s.Log.Info(fmt.Sprintf("no time to measure %d more kinds of products; hint: gpt2wgpu tune goes on",
					len(work)))
				return nil
			}
			before := len(s.tuning) + s.downs
			if err := s.child(ctx, work, time.Until(deadline)); err != nil {
				return err
			}
			if len(s.tuning)+s.downs == before && time.Now().Before(deadline) {
				return errors.New("tuning: the child process measured nothing; hint: --no-autotune does without")
			}
			work = slices.DeleteFunc(work, func(j job) bool { _, done := s.tuning[j.Use.Class]; return done })
		}
	}
}

// pending returns the classes to measure, those with the most operations first; the classifier's alone while there is
// one, since it decides on the shapes of others.
func (s *session) pending(uses []op.Use) (work []job) {
	total, at := map[string]float64{}, map[string]int{}
	for _, u := range uses {
		if _, done := s.tuning[u.Class]; done {
			continue
		}
		total[u.Class] += u.FLOPs
		i, seen := at[u.Class]
		if !seen {
			if len(op.Candidates(s.target, u)) > 1 {
				at[u.Class] = len(work)
				work = append(work, job{Use: u})
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
		work = classifier
	}
	sort.SliceStable(work, func(i, j int) bool { return total[work[i].Use.Class] > total[work[j].Use.Class] })
	return work
}

// mostDowns ends a session whose children die all the time: the device itself is the reason.
const mostDowns = 8

// child lets one child measure until it is done, dies, or stops answering.
func (s *session) child(ctx context.Context, work []job, budget time.Duration) error {
	life, stop := context.WithCancel(ctx)
	defer stop()
	raw, err := json.Marshal(request{s.info, s.target, s.tuning, work, s.skip, budget})
	if err != nil {
		return err
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
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("tuning: no child process: %w; hint: --no-autotune does without", err)
	}
	patience := s.Patience
	if patience == 0 {
		patience = 30 * time.Second
		if s.info.Software() {
			patience = 2 * time.Minute
		}
	}
	dog := time.AfterFunc(patience, stop)
	defer dog.Stop()
	var trying event // not answered yet
	for lines := bufio.NewScanner(out); lines.Scan(); {
		dog.Reset(patience)
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // a driver that prints
		}
		trying = event{}
		switch e.Kind {
		case "try":
			trying = e
			s.Log.Debug("trying", "class", e.Class, "tile", e.Tile)
		case "drop":
			s.Log.Warn("a tile is not used", "class", e.Class, "tile", e.Tile, "reason", e.Error)
		case "chosen":
			s.tuning[e.Class] = e.Tile
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
	if i := strings.LastIndexByte(lastWords, '\n'); i >= 0 {
		lastWords = lastWords[i+1:]
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return nil
	case life.Err() != nil:
		err = fmt.Errorf("no answer in %v", patience)
	}
	if trying.Kind == "" {
		return fmt.Errorf("tuning: the child process failed: %w: %s; hint: --no-autotune does without", err, lastWords)
	}
	s.downs++
	s.Log.Warn("a tile took its process down and is not used", "class", trying.Class, "tile", trying.Tile, "reason",
		err, "said", lastWords)
	s.skip[trying.Class] = append(s.skip[trying.Class], trying.Candidate)
	if trying.Candidate == 0 { // without the fixed one there is nothing to compare with
		s.tuning[trying.Class] = trying.Tile
	}
	if s.downs >= mostDowns {
		return fmt.Errorf("tuning: %d child processes died; hint: --no-autotune does without", s.downs)
	}
	return nil
}
