package dashboard

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
	"github.com/gpt2wgpu/gpt2wgpu/train/report"
)

// What TestBrowser needs, which .ci/dashboard sets.
const (
	playwright = "GPT2WGPU_PLAYWRIGHT" // a directory with playwright-core in its node_modules
	chromium   = "GPT2WGPU_CHROMIUM"   // the browser; default: chromium in PATH
	pictures   = "GPT2WGPU_PICTURES"   // where pictures of the page go; default: nowhere
	seconds    = "GPT2WGPU_SECONDS"    // how long ten growing runs are watched; default: 10
)

// manyRuns writes ten runs of 20,000 steps, and returns a function that writes more of each.
func manyRuns(t *testing.T, dir string) (grow func()) {
	const n, each = 10, 20000
	var files []string
	text := steps(0, each)
	for i := range n {
		var b strings.Builder
		for step := 0; step < each; step += 250 {
			fmt.Fprintf(&b, `{"kind":"val","step":%d,"loss":%v}`+"\n", step, 3+float64(i)/20+7/(1+float64(step)/100))
			if step%2000 == 0 {
				fmt.Fprintf(&b, `{"kind":"hellaswag","step":%d,"n":10042,"acc":0.26,"acc_norm":%v}`+"\n", step,
					0.25+float64(step+1000*i)/400000)
				fmt.Fprintf(&b, `{"kind":"sample","step":%d,"text":"The river rose, <b>and</b> fell.\n"}`+"\n", step)
			}
		}
		run := made(t, fmt.Sprintf("%s/gpt2-124m-%d", dir, i+1), b.String()+text)
		write(t, filepath.Join(run, "config.json"), fmt.Sprintf(config, 1e-3*float64(i+1)))
		files = append(files, filepath.Join(run, "metrics.jsonl"))
	}
	p := report.Profile{Step: "B=1 T=64", Device: "a GPU"}
	for i := range 300 {
		name := fmt.Sprintf("kernel_%d", i%17)
		p.Dispatches = append(p.Dispatches, report.Dispatch{Label: name + "/WG=8", MS: 0.1 + float64(i%7)/10})
		if i < 17 {
			p.Kernels = append(p.Kernels, report.Kernel{Name: name, Count: 18, MS: 5 - float64(i)/4})
		}
	}
	if err := report.WriteProfile(filepath.Dir(files[0]), p); err != nil {
		t.Fatal(err)
	}
	next := each
	return func() {
		more := steps(next, next+10)
		next += 10
		for _, f := range files {
			appendTo(t, f, more)
		}
	}
}

// TestBrowser does with the page what a person does, in headless Chromium, while ten runs grow: `make test-dashboard`.
func TestBrowser(t *testing.T) {
	modules := os.Getenv(playwright)
	if modules == "" {
		t.Skip(playwright + " names no directory with playwright-core; make test-dashboard runs this test")
	}
	browser := os.Getenv(chromium)
	if browser == "" {
		browser, _ = exec.LookPath("chromium")
	}
	needs.Programs(t, "node")
	if browser == "" {
		t.Skip("there is no chromium")
	}
	to, long := os.Getenv(pictures), os.Getenv(seconds)
	if to == "" {
		to = t.TempDir()
	}
	if long == "" {
		long = "10"
	}
	dir := t.TempDir()
	grow := manyRuns(t, dir)
	address := "127.0.0.1:0"
	var ended chan error
	stop := func() {}
	start := func() {
		s := New(Options{Dirs: []string{dir}, Program: "gpt2wgpu"})
		l, err := s.Listen(address)
		if err != nil {
			t.Error(err)
			return
		}
		address = l.Addr().String()
		ctx, cancel := context.WithCancel(context.Background())
		ended = make(chan error, 1)
		go func() { ended <- s.Serve(ctx, l) }()
		stop = func() { cancel(); <-ended }
	}
	start()
	defer func() { stop() }()

	ctx, cancel := context.WithCancel(t.Context())
	var growing sync.WaitGroup
	growing.Add(1)
	go func() { // the trainings
		defer growing.Done()
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				grow()
			}
		}
	}()
	defer growing.Wait()
	defer cancel()

	cmd := exec.CommandContext(ctx, "node", "testdata/browser.mjs", "http://"+address+"/", to, long)
	cmd.Env = append(os.Environ(), "PLAYWRIGHT="+modules+"/", "CHROMIUM="+browser)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errors strings.Builder
	cmd.Stderr = &errors
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch line := lines.Text(); {
		case line == "STOP":
			stop()
		case line == "START":
			start()
		case strings.HasPrefix(line, "FAILED: "):
			t.Error(line)
		default:
			t.Log(line)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, errors.String())
	}
}
