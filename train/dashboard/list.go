package dashboard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/plainfile"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
	"github.com/gpt2wgpu/gpt2wgpu/train/report"
	"github.com/gpt2wgpu/gpt2wgpu/train/runs"
)

// list is the runs that are shown. It is refreshed only while a page is open.
type list struct {
	dirs  []string
	first string
	age   time.Duration // how old it may be: pages that ask at the same time share one refresh

	mu      sync.Mutex
	runs    []*entry // in the order of the page
	read    time.Time
	records *metrics.Records // of the run without a directory; nil: there is none
}

// entry is a run of the list.
type entry struct {
	*runs.Followed
	id  string
	row string // as JSON
}

// row is a run in the page's list.
type row struct {
	ID    string `json:"id"`
	Label string `json:"label"` // its name without what all have in common
	Order int    `json:"order"`
	First bool   `json:"first,omitempty"` // what a page shows where nothing was chosen
	runs.Summary
	BytesPerToken float64 `json:"bytes_per_token"` // 0: not known
	TokensPerStep int     `json:"tokens_per_step"`
	Seconds       float64 `json:"seconds"` // of all steps
	Config        string  `json:"config"`  // changes with config.json, checkpoints and crash.log
	Profile       string  `json:"profile"` // changes with profile.json; empty: there is none
}

func newList(dirs []string, first string) *list {
	if first != "" {
		first = filepath.Clean(first)
	}
	return &list{dirs: dirs, first: first, age: time.Second}
}

// idOf returns a run's id in addresses. A request can name only runs of the list.
func idOf(dir string) string {
	sum := sha256.Sum256([]byte(filepath.Clean(dir)))
	return hex.EncodeToString(sum[:6])
}

// refresh reads what is new, unless the list is younger than age.
func (l *list) refresh() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.read) < l.age {
		return
	}
	var found []*entry
	for _, dir := range l.find() {
		i := slices.IndexFunc(l.runs, func(e *entry) bool { return e.Dir == dir })
		e := &entry{Followed: runs.Follow(dir), id: idOf(dir)}
		if i >= 0 {
			e = l.runs[i]
		}
		found = append(found, e)
	}
	if l.records != nil {
		found = append(found, l.runs[slices.IndexFunc(l.runs, func(e *entry) bool { return e.id == memoryID })])
	}
	l.runs = slices.DeleteFunc(found, func(e *entry) bool { return e.Update() != nil })
	var plain []*runs.Run
	for _, e := range l.runs {
		plain = append(plain, &e.Run)
	}
	for i, name := range runs.Names(plain) {
		l.runs[i].describe(i, filepath.ToSlash(name), l.first)
	}
	l.read = time.Now()
}

// find returns the directories of runs that are there now.
func (l *list) find() (found []string) {
	for _, dir := range l.dirs {
		dirs, err := runs.Find([]string{dir})
		if err != nil { // none yet, or none any more
			continue
		}
		for _, d := range dirs {
			if !slices.Contains(found, d) {
				found = append(found, d)
			}
		}
	}
	return found
}

// describe makes the entry's row.
func (e *entry) describe(order int, label, first string) {
	r := row{ID: e.id, Label: label, Order: order, First: e.Dir == first, Summary: e.Summary(), Seconds: e.Seconds()}
	if bytes, ok := e.BytesPerToken(); ok {
		r.BytesPerToken = bytes
	}
	if done := e.Done(); done > 0 {
		r.TokensPerStep = int(e.Tokens() / int64(done))
	}
	if e.id != memoryID {
		stamp := func(name string) string {
			s := runs.StampOf(e.Dir, name)
			if s == (runs.Stamp{}) {
				return ""
			}
			return strconv.FormatInt(s.Time.UnixNano(), 36)
		}
		r.Config = stamp(runs.ConfigFile) + "." + stamp(gpt2.CheckpointsDir) + "." + stamp(runs.CrashFile)
		r.Profile = stamp(runs.ProfileFile)
	}
	raw, err := json.Marshal(r)
	if err == nil {
		e.row = string(raw)
	}
}

// rows returns the ids of all runs in order, and their rows as JSON.
func (l *list) rows() (ids, rows []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.runs {
		ids, rows = append(ids, e.id), append(rows, e.row)
	}
	return ids, rows
}

// places returns the directories that are searched for runs, none if the page knows them.
func (l *list) places(known bool) (names []string) {
	for _, dir := range l.dirs {
		if !known {
			names = append(names, filepath.ToSlash(dir))
		}
	}
	return names
}

// entry returns a run, nil where there is none. l.mu is held.
func (l *list) entry(id string) *entry {
	i := slices.IndexFunc(l.runs, func(e *entry) bool { return e.id == id })
	if i < 0 {
		return nil
	}
	return l.runs[i]
}

// dir returns a run's directory, empty where there is none.
func (l *list) dir(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.entry(id); e != nil && id != memoryID {
		return e.Dir
	}
	return ""
}

// follow returns a follower of a run's lines, nil where there is no such run.
func (l *list) follow(id string, from metrics.Position) *metrics.Follower {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e := l.entry(id); {
	case e == nil:
		return nil
	case id == memoryID:
		return l.records.Follow(from)
	default:
		return metrics.Follow(filepath.Join(e.Dir, runs.MetricsFile), from)
	}
}

// details returns what a page shows of a run, nil where there is none.
func (l *list) details(id, program string) any {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entry(id)
	if e == nil {
		return nil
	}
	d := details{Settings: []setting{}, Memory: []memory{}, Saved: []checkpoint{}}
	for _, s := range e.Settings {
		d.Settings = append(d.Settings, setting{s.Name, json.RawMessage(s.Value)})
	}
	for _, m := range e.Memory {
		d.Memory = append(d.Memory, memory(m))
	}
	if id == memoryID {
		return d
	}
	for _, name := range gpt2.Checkpoints(e.Dir) {
		info, err := os.Stat(filepath.Join(e.Dir, gpt2.CheckpointsDir, name))
		step, bad := strconv.Atoi(strings.TrimPrefix(name, "step-"))
		if err == nil && bad == nil {
			d.Saved = append(d.Saved, checkpoint{step, info.ModTime().UTC().Truncate(time.Second)})
		}
	}
	d.Commands = report.Commands(&e.Run, program)
	d.Crash = tail(e.Dir, runs.CrashFile)
	return d
}

// tail returns the last lines of a file in dir, empty where it cannot be read or is a link to another directory's.
func tail(dir, name string) string {
	const most = 16 << 10 // bytes
	f, err := plainfile.OpenIn(dir, name)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	end := make([]byte, min(info.Size(), most))
	n, _ := f.ReadAt(end, info.Size()-int64(len(end)))
	text := strings.ToValidUTF8(string(end[:n]), "\uFFFD")
	if info.Size() > most {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

// memoryID is that of the run without a directory.
const memoryID = "memory"

// Memory makes the server show a run without a directory too, whose records are added to what it returns.
func (s *Server) Memory(name string) *metrics.Records {
	l := s.list
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = &metrics.Records{}
	l.runs = append(l.runs, &entry{Followed: runs.FollowRecords(name, l.records), id: memoryID})
	l.first = name
	return l.records
}

// Began says what the run without a directory is: record is what config.json would have.
func (s *Server) Began(record []byte) {
	s.list.mu.Lock()
	defer s.list.mu.Unlock()
	if e := s.list.entry(memoryID); e != nil {
		e.Describe(record)
	}
}
