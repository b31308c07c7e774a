package panel

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/google/go-cmp/cmp"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

var update = flag.Bool("update", false, "write the golden frames again")

// tiny is a run of 900 steps of 50 ms, of which n are done.
func tiny(n int) *State {
	s := &State{Plan: Plan{Name: "runs/tiny-1", Device: "llvmpipe (LLVM 15.0.6, 256 bits) (vulkan, cpu)",
		Params: 834304,
		Memory: 29 << 20, Steps: 900, TokensPerStep: 256, EpochTokens: 64000, FLOPsPerToken: 5e6, Peak: 1e11}}
	clock := time.Time{}
	s.now = func() time.Time { return clock }
	for i := range n {
		if i%150 == 0 {
			s.Record(metrics.Line{Kind: "val", Step: i, Loss: metrics.Float(2 + 3.5*math.Exp(-float64(i)/80))})
		}
		ms := 50.0
		if i == 0 {
			ms = 9000 // compiles
		}
		clock = clock.Add(time.Duration(ms * 1e6))
		s.Record(metrics.Line{Kind: "train", Step: i, Loss: metrics.Float(1.9 + 3.6*math.Exp(-float64(i)/80)),
			LR:       1.2e-3,
			GradNorm: 1.69, Tokens: int64(256 * (i + 1)), MS: metrics.Float(ms), TokensPerS: 5120})
	}
	if n > 450 {
		s.Record(metrics.Line{Kind: "sample", Step: 450,
			Text: "MARROW:\nThe sler. The mas tond pisngthes, a it all.\x1b[2J\n" +
				"\nI sthe's fit his ditll arir om sara a awaist ther hat?\nMore.\nAnd more."})
	}
	return s
}

// TestFrames holds what the panel looks like, at the sizes of terminals; -update writes the frames again.
func TestFrames(t *testing.T) {
	for _, c := range []struct {
		name          string
		width, height int
		state         *State
		change        func(s *State)
	}{
		{"first", 80, 24, tiny(0), func(s *State) { s.Status = "compiling 3 of 40" }},
		{"half", 120, 40, tiny(470), nil},
		{"half", 60, 20, tiny(470), nil},
		{"half", 40, 12, tiny(470), nil},
		{"paused", 80, 24, tiny(200), func(s *State) { s.Paused = true }},
		{"asked", 80, 24, tiny(200), func(s *State) { s.Asked = "a sample comes after this step" }},
		{"help", 60, 20, tiny(200), func(s *State) { s.Help = true }},
		{"done", 80, 24, tiny(900), func(s *State) { s.Done = true }},
		{"nan", 60, 20, tiny(20), func(s *State) {
			s.Record(metrics.Line{Kind: "train", Step: 20, Loss: metrics.Float(math.NaN()),
				GradNorm: metrics.Float(math.Inf(1)),
				MS:       50})
		}},
	} {
		if c.change != nil {
			c.change(c.state)
		}
		got := ansi.Strip(c.state.View(c.width, c.height)) + "\n"
		for _, l := range strings.Split(got, "\n") {
			if n := ansi.StringWidth(l); n > c.width || strings.ContainsRune(l, '\x1b') {
				t.Errorf("%s: %d columns of %d: %q", c.name, n, c.width, l)
			}
		}
		if n := strings.Count(got, "\n"); n >= c.height {
			t.Errorf("%s: %d lines of %d", c.name, n, c.height)
		}
		path := filepath.Join("testdata", fmt.Sprintf("%s_%dx%d.txt", c.name, c.width, c.height))
		if *update {
			os.MkdirAll("testdata", 0o777)
			if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.ReplaceAll(string(want), "\r\n", "\n"), got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

// TestFits: every size shows something, and nothing that is too large.
func TestFits(t *testing.T) {
	s := tiny(700)
	for width := Least; width < 200; width += 7 {
		for height := 4; height < 60; height += 5 {
			view := s.View(width, height)
			if n := strings.Count(view, "\n") + 1; n >= height {
				t.Fatalf("%dx%d: %d lines", width, height, n)
			}
			for _, l := range strings.Split(view, "\n") {
				if ansi.StringWidth(l) > width {
					t.Fatalf("%dx%d: %q", width, height, l)
				}
			}
		}
	}
}

// TestLeft: the time that is left counts neither the first step, which compiles, nor a pause.
func TestLeft(t *testing.T) {
	s := tiny(1)
	if _, known := s.left(); known {
		t.Error("after the step that compiles a time is known")
	}
	if left, _ := tiny(500).left(); left != 20*time.Second {
		t.Errorf("400 steps of 50 ms: %v", left)
	}
	step := func(s *State, beside time.Duration) {
		now := s.now().Add(beside + 50*time.Millisecond)
		s.now = func() time.Time { return now }
		s.Record(metrics.Line{Kind: "train", Step: s.done(), Loss: 2, MS: 50})
	}
	s = tiny(500) // 499 steps after the first one
	step(s, 10*time.Second)
	if left, _ := s.left(); left != 399*(50+20)*time.Millisecond { // 20 ms = 10 s / 500
		t.Errorf("399 steps of 50 ms, with a validation of 10 s in 500 steps: %v", left)
	}
	s = tiny(500)
	s.Paused, s.Idle = true, true
	step(s, 0) // it was under way
	s.Paused = false
	step(s, time.Hour)
	step(s, 0)
	if left, _ := s.left(); left != 397*50*time.Millisecond {
		t.Errorf("397 steps of 50 ms after a pause: %v", left)
	}
}

// TestKeys: keys become wishes, once each; a pause holds.
func TestKeys(t *testing.T) {
	interrupted := make(chan bool, 1)
	p := Open(nil, new(bytes.Buffer), Plan{Steps: 9}, func() { interrupted <- true })
	defer p.Close()
	for key, want := range map[string]Wish{"q": Stop, "s": Sample, "e": Validate, "c": Checkpoint, "x": 0, "?": 0} {
		if p.key(key); p.Wishes() != want || p.Wishes() != 0 {
			t.Errorf("%s: want %b once", key, want)
		}
	}
	if p.key("p"); p.Wishes() != Pause || p.Wishes() != Pause {
		t.Error("a pause does not hold")
	}
	if p.key("p"); p.Wishes() != 0 {
		t.Error("a pause does not end")
	}
	p.key("ctrl+c")
	<-interrupted
}

// TestOutput: lines stay above the panel, and at the end the bar stays.
func TestOutput(t *testing.T) {
	var out bytes.Buffer
	p := Open(nil, &out, Plan{Name: "r", Steps: 2}, func() {})
	p.Print("an event\n")
	for i := range 2 {
		p.Record(metrics.Line{Kind: "train", Step: i, Loss: 3, MS: 1})
	}
	p.Close()
	p.Print("too late")
	text := ansi.Strip(out.String())
	if !strings.Contains(text, "an event") || !strings.Contains(text, "100%  step 2/2") || strings.Contains(text,
		"late") {
		t.Errorf("%q", out.String())
	}
}

// lineEnds is a terminal that begins a new line after a line feed, as kernels make it.
type lineEnds struct{ io.Writer }

func (l lineEnds) Write(p []byte) (int, error) {
	_, err := l.Writer.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

// TestManyLines: lines that do not fit the terminal beside the panel leave both whole.
func TestManyLines(t *testing.T) {
	screen := vt.NewSafeEmulator(80, 24)
	go io.Copy(io.Discard, screen) // its answers
	p := Open(nil, lineEnds{screen}, Plan{}, func() {})
	defer p.Close()
	p.Change(func(s *State) { *s = *tiny(470) })
	panel := trimRows(ansi.Strip(tiny(470).View(80, 24)))
	shows := func(want string) {
		t.Helper()
		got := ""
		for range 500 { // the panel draws by its clock
			if got = trimRows(screen.String()); got == want {
				return
			}
			time.Sleep(interval / 10)
		}
		t.Fatalf("the terminal shows:\n%s\nwant:\n%s", got, want)
	}
	shows(panel)
	text := ""
	for i := range 40 {
		text += fmt.Sprintf("line %d\n\n", i)
	}
	p.Print(text)
	lines := strings.Split(text, "\n")
	above := 24 - strings.Count(panel, "\n") - 1
	shows(strings.Join(lines[len(lines)-1-above:len(lines)-1], "\n") + "\n" + panel)
}

// trimRows returns a screen's text without what is blank at the ends of its rows and below them.
func trimRows(text string) string {
	rows := strings.Split(text, "\n")
	for i, row := range rows {
		rows[i] = strings.TrimRight(row, " \r")
	}
	return strings.TrimRight(strings.Join(rows, "\n"), "\n")
}
