package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"syscall/js"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// page is what a test sees of a session.
type page struct {
	*session
	t      *testing.T
	events []map[string]any
	on     func(e map[string]any) // sees each event; nil: nobody does
}

func newPage(t *testing.T) *page {
	gputest.Available(t)
	p := &page{t: t}
	p.session = newSession(func(e any) {
		raw, err := json.Marshal(e)
		var event map[string]any
		if err == nil {
			err = json.Unmarshal(raw, &event)
		}
		if err != nil {
			t.Errorf("event %+v: %v", e, err)
		}
		p.events = append(p.events, event)
		if p.on != nil {
			p.on(event)
		}
	})
	runsDir, modelsDir = path.Join(t.TempDir(), "runs"), path.Join(t.TempDir(), "models")
	t.Cleanup(p.unload)
	return p
}

// do calls, and returns the result as JavaScript gets it.
func (p *page) do(name, in string) (out map[string]any, err error) {
	v, err := p.call(name, []byte(in), js.Undefined())
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	return out, err
}

// want is do that must not fail.
func (p *page) want(name, in string) map[string]any {
	p.t.Helper()
	out, err := p.do(name, in)
	if err != nil {
		p.t.Fatalf("%s %s: %v", name, in, err)
	}
	return out
}

// kinds counts events by their names.
func (p *page) kinds() map[string]int {
	n := map[string]int{}
	for _, e := range p.events {
		n[e["event"].(string)]++
	}
	return n
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestTrainsAsNative: losses and weights are those of the native program on the same driver, of which .ci/js has runs.
func TestTrainsAsNative(t *testing.T) {
	native := os.Getenv("GPT2WGPU_NATIVE")
	if native == "" {
		t.Skip("no GPT2WGPU_NATIVE: runs of the native program; hint: bash .ci/js")
	}
	for _, dtype := range []string{"f32", "bf16"} {
		p := newPage(t)
		out := t.TempDir()
		p.want("train", fmt.Sprintf(`{"out": %q, "settings": {"steps": 5, "dtype": %q, "val_every": 0, `+
			`"sample_every": 0}}`, out, dtype))
		want, err := metrics.Read(path.Join(native, dtype, "metrics.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := metrics.Read(path.Join(out, "metrics.jsonl"))
		if err != nil || len(got) != len(want) || len(got) != 5 {
			t.Fatalf("%d steps, the native program %d: %v", len(got), len(want), err)
		}
		for i := range got {
			if got[i].Loss != want[i].Loss || got[i].GradNorm != want[i].GradNorm {
				t.Errorf("%s: step %d: loss %v, norm %v, the native program has %v, %v", dtype, i, got[i].Loss,
					got[i].GradNorm, want[i].Loss, want[i].GradNorm)
			}
		}
		for _, file := range []string{"model.safetensors", "optimizer.safetensors"} {
			file = path.Join("checkpoints/step-000005", file)
			if !bytes.Equal(readFile(t, path.Join(out, file)), readFile(t, path.Join(native, dtype, file))) {
				t.Errorf("%s: %s is not the native program's", dtype, file)
			}
		}
	}
}

const small = `"n_layer": 1, "n_head": 2, "n_embd": 64, "block_size": 32, "seq_len": 32, "batch_size": 2, ` +
	`"total_batch_size": 64, "val_every": 0, "sample_every": 4`

// TestTraining is a run as a page drives it: asked for things, paused, stopped, resumed, and seen from its events.
func TestTraining(t *testing.T) {
	p := newPage(t)
	step, texts := 0, make(chan error, 2)
	ask := func(prompt string) {
		go func() {
			out, err := p.do("sample", `{"prompt": "`+prompt+`", "max_tokens": 5, "greedy": true, "tag": "`+prompt+`"}`)
			if err == nil && out["text"] == "" {
				err = fmt.Errorf("%s: no text", prompt)
			}
			texts <- err
		}()
	}
	p.on = func(e map[string]any) {
		switch e["event"] {
		case "metrics":
			if step++; step == 2 {
				ask("one")
			} else if step == 6 {
				p.want("pause", `{"on": true}`)
				p.want("ask", `{"what": "checkpoint"}`)
			}
		case "paused":
			if e["on"] == true {
				ask("two")
			}
		case "text":
			if e["tag"] == "two" {
				p.want("pause", `{"on": false}`)
				p.want("ask", `{"what": "stop"}`)
			}
		}
	}
	got := p.want("train", `{"settings": {`+small+`, "steps": 30}}`)
	out := got["out"].(string)
	if out != path.Join(runsDir, "tiny-1") || got["stopped"] != true || got["done"] != false {
		t.Errorf("%v", got)
	}
	for range 2 {
		if err := <-texts; err != nil {
			t.Error(err)
		}
	}
	stopped := got["step"].(float64)
	if n := p.kinds(); n["began"] != 1 || n["paused"] != 2 || n["state"] < 2 || n["text"] == 0 {
		t.Errorf("events: %v", n)
	}
	if _, err := p.do("ask", `{"what": "stop"}`); err == nil || !strings.Contains(err.Error(), "no training runs") {
		t.Errorf("asked of no run: %v", err)
	}
	runs, err := p.runs(nothing{})
	if list := runs.([]stored); err != nil || len(list) != 1 || list[0].Out != out || list[0].Step != int(stopped) ||
		list[0].Steps != 30 || list[0].Tokens != int64(stopped)*64 || !(list[0].Loss > 0) {
		t.Errorf("%+v, %v", runs, err)
	}

	p.on, p.events = nil, nil
	got = p.want("resume", fmt.Sprintf(`{"out": %q, "settings": {"steps": %v}}`, out, stopped+3))
	if got["step"] != stopped+3 || got["done"] != true {
		t.Errorf("resumed: %v", got)
	}
	ended := p.want("resume", fmt.Sprintf(`{"out": %q}`, out))
	if ended["step"] != got["step"] || ended["done"] != true {
		t.Errorf("resumed after its end: %v", ended)
	}
	var lines []string
	for _, e := range p.events {
		switch e["event"] {
		case "began":
			for _, l := range e["lines"].([]any) {
				lines = append(lines, l.(string))
			}
		case "metrics":
			lines = append(lines, e["line"].(string))
		}
	}
	file := strings.TrimSpace(string(readFile(t, path.Join(out, "metrics.jsonl"))))
	if got := strings.Join(lines, "\n"); got != file {
		t.Errorf("events have the lines\n%s\nthe file\n%s", got, file)
	}
	if p.want("remove", fmt.Sprintf(`{"out": %q}`, out)); exists(out) {
		t.Error("a removed run is there")
	}
}

// TestArchive: a model leaves as an archive and comes back from it, and from bare weights, as the same model.
func TestArchive(t *testing.T) {
	p := newPage(t)
	out := p.want("train", `{"settings": {`+small+`, "steps": 3}}`)["out"].(string)
	write := func(model string) map[string]any {
		return p.want("sample", fmt.Sprintf(`{"model": %q, "prompt": "A", "max_tokens": 12, "greedy": true}`, model))
	}
	want := write(out)["text"]
	var archive []byte
	take := js.FuncOf(func(_ js.Value, args []js.Value) any {
		piece := make([]byte, args[0].Length())
		js.CopyBytesToGo(piece, args[0])
		archive = append(archive, piece...)
		return js.Global().Get("Promise").Call("resolve")
	})
	defer take.Release()
	if _, err := p.call("zip", []byte(fmt.Sprintf(`{"model": %q}`, out)), take.Value); err != nil {
		t.Fatal(err)
	}
	upload := path.Join(t.TempDir(), "my model.zip")
	if err := os.WriteFile(upload, archive, 0o644); err != nil {
		t.Fatal(err)
	}
	in := p.want("import", fmt.Sprintf(`{"path": %q}`, upload))
	dir := in["path"].(string)
	if path.Base(dir) != "my-model" || in["tokenizer"] != "bytes" || exists(upload) {
		t.Errorf("%v", in)
	}
	if got := write(dir)["text"]; got != want {
		t.Errorf("the imported model writes %q, want %q", got, want)
	}
	if runs, err := p.runs(nothing{}); err != nil || len(runs.([]stored)) != 2 {
		t.Errorf("%+v, %v; want a run and a model", runs, err)
	}
	files := map[string]bool{}
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		files[e.Name()] = true
	}
	if !files["config.json"] || !files["model.safetensors"] || files["state.json"] || files["optimizer.safetensors"] {
		t.Errorf("the archive has %v", slices.Sorted(maps.Keys(files)))
	}

	bare := path.Join(t.TempDir(), "bare.safetensors")
	if err := os.WriteFile(bare, readFile(t, path.Join(dir, "model.safetensors")), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.do("import", fmt.Sprintf(`{"path": %q}`, bare)); err == nil || !exists(bare) {
		t.Errorf("weights that don't show their heads: %v", err)
	}
	in = p.want("import", fmt.Sprintf(`{"path": %q, "n_head": 2}`, bare))
	if in["parameters"].(float64) < 1000 {
		t.Errorf("%v", in)
	}
	// further training from it
	got := p.want("train", fmt.Sprintf(`{"out": "", "settings": {"init": %q, "steps": 2, "tokenizer": "bytes"}}`,
		in["path"]))
	if got["step"] != 2.0 {
		t.Errorf("%v", got)
	}
}

// TestHost: a page that lacks what the program calls gets one error, and no panic.
func TestHost(t *testing.T) {
	set := func(v any) { js.Global().Set("gpt2wgpu", v) }
	defer set(js.Undefined())
	for _, v := range []any{js.Undefined(), nil, 7, map[string]any{}, map[string]any{"event": "x"}} {
		set(v)
		if _, err := host(); err == nil || !strings.Contains(err.Error(), "hint: ") {
			t.Errorf("%v: %v", v, err)
		}
	}
	f := js.FuncOf(func(js.Value, []js.Value) any { return nil })
	defer f.Release()
	set(map[string]any{"event": f})
	if _, err := host(); err != nil {
		t.Error(err)
	}
}

// TestRefusals: what cannot be is an error of its kind.
func TestRefusals(t *testing.T) {
	p := newPage(t)
	for _, c := range [][3]string{
		{"nonsense", `{}`, "unknown call"},
		{"ask", `{"what": "cake"}`, "hint: stop"},
		{"ask", `{"wat": "stop"}`, "unknown field"},
		{"sample", `{"prompt": "x"}`, "no training runs"},
		{"sample", `{"prompt": "x", "temperature": -1}`, "--temperature"},
		{"sample", `{"prompt": "x", "model": "/nowhere"}`, "no such model"},
		{"train", `{"preset": "huge"}`, "no such preset"},
		{"train", `{"settings": {"n_layer": 0}}`, "--n-layer"},
		{"train", `{"settings": {"layers": 3}}`, `unknown setting "layers"`},
		{"train", `{"out": "", "settings": {"data": "/in/none.txt"}}`, "/in/none.txt"},
		{"resume", `{"out": "/runs/none"}`, "no complete checkpoint"},
		{"remove", `{"out": "/etc"}`, "want a directory"},
		{"zip", `{"model": "/nowhere"}`, "needs a function"},
		{"import", `{"path": "/in/none.zip"}`, "/in/none.zip"},
	} {
		if _, err := p.do(c[0], c[1]); err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s %s: %v, want %s", c[0], c[1], err, c[2])
		}
	}
	if p.job != "idle" {
		t.Errorf("the device is left with %s", p.job)
	}
	_, end, err := p.begin("sample", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err = p.do("train", `{"out": ""}`); err == nil || failure(err).Get("name").String() != "Busy" {
		t.Errorf("two jobs: %v", err)
	}
	end()
}

// TestDescriptions: what is known before anything runs.
func TestDescriptions(t *testing.T) {
	p := newPage(t)
	info := p.want("info", `{}`)
	if len(info["presets"].([]any)) < 3 || len(info["settings"].([]any)) < 30 {
		t.Errorf("%v", info)
	}
	if d := p.want("device", `{}`); d["backend"] != "webgpu" {
		t.Errorf("%v", d)
	}
	plan := p.want("plan", `{"preset": "gpt2-124m", "settings": {"data": "sample", "batch_size": 1, "seq_len": 64, `+
		`"total_batch_size": 64}}`)
	if plan["parameters"].(float64) < 124e6 || plan["micro_steps"] != 1.0 || plan["bytes"].(float64) < 1e9 ||
		!strings.Contains(plan["text"].(string), "device memory") {
		t.Errorf("%v", plan)
	}
}

// TestSelfTest: one kernel's cases, each with an event.
func TestSelfTest(t *testing.T) {
	p := newPage(t)
	got := p.want("selftest", `{"kernel": "residual", "every": "kernel"}`)
	if n := p.kinds()["selftest"]; n == 0 || got["failed"] != 0.0 || got["passed"] != float64(n) {
		t.Errorf("%v, %d events", got, n)
	}
}
