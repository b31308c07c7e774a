package runs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gpt2wgpu/gpt2wgpu/data/lock"
)

const config = `{"n_layer": 2, "n_head": 2, "n_embd": 16, "block_size": 16, "vocab_size": 256, "tokenizer": %q,
  "total_batch_size": 64, "steps": %d, "lr": %v, "a_later_setting": [1], "version": "v9", "device_name": "a GPU"}`

// makeRun writes a run's directory: config.json and the lines of its metrics.
func makeRun(t *testing.T, dir, config string, metrics ...string) string {
	t.Helper()
	write(t, filepath.Join(dir, ConfigFile), config)
	write(t, filepath.Join(dir, MetricsFile), strings.Join(metrics, ""))
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string) *Run {
	t.Helper()
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// steps are lines of metrics, from a step up to another.
func steps(from, to int) (s string) {
	for i := from; i < to; i++ {
		s += fmt.Sprintf(`{"kind":"train","step":%d,"loss":%v,"lr":1e-3,"grad_norm":1,"tokens":%d,"ms":500,`+
			`"tokens_per_s":128}`+"\n", i, 5-float64(i)/100, 64*(i+1))
	}
	return s
}

func val(step int, loss, bits float64) string {
	s := fmt.Sprintf(`{"kind":"val","step":%d,"loss":%v`, step, loss)
	if bits > 0 {
		s += fmt.Sprintf(`,"bits_per_byte":%v`, bits)
	}
	return s + "}\n"
}

// TestStates: a run says how it stands, whatever it was cut off in.
func TestStates(t *testing.T) {
	dir := t.TempDir()
	settings := fmt.Sprintf(config, "bytes", 20, 1e-3)
	checkpoint := func(run string, step int) string {
		write(t, filepath.Join(run, "checkpoints", fmt.Sprintf("step-%06d", step), "state.json"), "{}")
		return run
	}
	for _, c := range []struct {
		dir     string
		state   State
		done    int
		trouble string
	}{
		{makeRun(t, dir+"/empty", settings), Empty, 0, ""},
		{makeRun(t, dir+"/finished", settings, steps(0, 20)), Finished, 20, ""},
		{checkpoint(makeRun(t, dir+"/stopped", settings, steps(0, 12)), 12), Stopped, 12, ""},
		{checkpoint(makeRun(t, dir+"/killed", settings, steps(0, 12)), 5), BrokeOff, 12, ""},
		{makeRun(t, dir+"/torn", settings, steps(0, 3), `{"kind":"tra`), BrokeOff, 3, ""},
		{makeRun(t, dir+"/twice", settings, steps(0, 9), steps(4, 12)), BrokeOff, 12, ""},
		{makeRun(t, dir+"/garbage", settings, steps(0, 3), "\x00\x00\n", steps(3, 5)), BrokeOff, 5,
			"line 4 of metrics.jsonl is damaged"},
		{makeRun(t, dir+"/zeros", settings, "\n\n\n", steps(0, 5)), BrokeOff, 5,
			"3 lines of metrics.jsonl are damaged"},
		{makeRun(t, dir+"/nosettings", "{", steps(0, 5)), BrokeOff, 5, "settings are not known: config.json"},
		{makeRun(t, dir+"/wrong", `{"total_batch_size": 1, "steps": "x"}`, steps(0, 5)), BrokeOff, 5, "not known"},
		{makeRun(t, dir+"/unknown", settings, steps(0, 5), `{"kind":"later","step":3}`+"\n"), BrokeOff, 5, ""},
	} {
		r := read(t, c.dir)
		if trouble := strings.Join(r.Trouble, "\n"); r.State != c.state || r.Done() != c.done ||
			len(r.Train) != c.done ||
			(c.trouble == "") != (trouble == "") || !strings.Contains(trouble, c.trouble) {
			t.Errorf("%s: %s, %d steps (%d), %q; want %s, %d, %q", c.dir, r.State, r.Done(), len(r.Train), trouble,
				c.state, c.done, c.trouble)
		}
		Draw([]*Run{r}, View{X: "time", Y: "loss", Unit: "bits"})
		Compare([]*Run{r, r})
	}
	held, err := lock.Take(context.Background(), dir+"/stopped/lock", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := read(t, dir+"/stopped"); r.State != Running {
		t.Errorf("a run whose lock is held is %s", r.State)
	}
	held.Release()
	if r := read(t, dir+"/stopped"); r.State != Stopped || r.Device != "a GPU" || r.Params() == 0 || r.Rate() != 128 ||
		r.Seconds() != 6 {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{"no/such", dir + "/finished/config.json", dir} {
		if _, err := Read(bad); err == nil || strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(),
			"; hint: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tiny-10", "tiny-2", "other"} {
		makeRun(t, filepath.Join(dir, name), "{}")
	}
	write(t, filepath.Join(dir, "notes", "x"), "")
	got, err := Find([]string{dir, filepath.Join(dir, "tiny-2") + "/"})
	var names []string
	for _, g := range got {
		names = append(names, filepath.Base(g))
	}
	if err != nil || strings.Join(names, " ") != "other tiny-2 tiny-10 tiny-2" {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := Find([]string{filepath.Join(dir, "notes")}); err == nil || !strings.Contains(err.Error(),
		"holds no runs") {
		t.Error(err)
	}
}

// TestUnits: bits per byte come from a byte-level run itself, from a validation of others, and from nowhere else.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	loss := "{\"kind\":\"train\",\"step\":0,\"loss\":2,\"tokens\":64,\"ms\":1000}\n"
	bytes := read(t, makeRun(t, dir+"/bytes", fmt.Sprintf(config, "bytes", 9, 1), loss))
	// tokens of 4 bytes
	gpt2 := read(t, makeRun(t, dir+"/gpt2", fmt.Sprintf(config, "gpt2", 9, 1), loss, val(0, 4, 1/math.Ln2)))
	ids := read(t, makeRun(t, dir+"/ids", fmt.Sprintf(config, "ids", 9, 1), loss, val(0, 4, 0)))
	c, left := Draw([]*Run{bytes, gpt2, ids}, View{X: "step", Y: "loss", Unit: "bits"})
	if len(left) != 1 || !strings.Contains(left[0], "ids: left out") || len(c.Curves) != 3 {
		t.Fatalf("%d curves, %q", len(c.Curves), left)
	}
	for i, want := range []float64{2 / math.Ln2, 2 / math.Ln2 / 4, 1 / math.Ln2} {
		if got := c.Curves[i].Y[0]; math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: %v, want %v", c.Curves[i].Name, got, want)
		}
	}
	if !strings.Contains(c.Y, "bits per byte") || c.Curves[2].Name != "gpt2, validation" || c.Curves[2].Of != 1 {
		t.Errorf("%+v", c)
	}
}

// TestAxes: places are those of the steps done: a validation before step 20 lies at 20 steps, 1280 tokens, 10 s.
func TestAxes(t *testing.T) {
	r := read(t, makeRun(t, t.TempDir()+"/r", fmt.Sprintf(config, "bytes", 40, 1), steps(0, 20), val(20, 3, 1),
		steps(20, 40), val(40, 2, 1), `{"kind":"hellaswag","step":40,"n":10,"acc_norm":0.3}`+"\n"))
	for x, want := range map[string][2]float64{"step": {20, 40}, "tokens": {1280, 2560}, "time": {10, 20}} {
		c, _ := Draw([]*Run{r}, View{X: x, Y: "val", Unit: "nats"})
		if len(c.Curves) != 1 || c.Curves[0].X[0] != want[0] || c.Curves[0].X[1] != want[1] {
			t.Errorf("%s: %+v, want %v", x, c.Curves, want)
		}
	}
	c, left := Draw([]*Run{r}, View{X: "step", Y: "hellaswag"})
	if len(left) > 0 || len(c.Levels) != 2 || c.Levels[0].Y != 0.2955 || c.Levels[1].Name != "GPT-2 350M (0.3752)" {
		t.Errorf("HellaSwag: %+v, %v", c.Levels, left)
	}
	if c, _ := Draw([]*Run{r}, View{X: "step", Y: "loss", Unit: "nats", Smooth: 1}); len(c.Curves) != 2 {
		t.Errorf("unsmoothed: %d curves, want the losses and the validations", len(c.Curves))
	}
}

func TestCompare(t *testing.T) {
	dir := t.TempDir()
	a := read(t, makeRun(t, dir+"/a", fmt.Sprintf(config, "bytes", 80, 1e-3), val(0, 5, 7), steps(0, 80), val(80, 2,
		3)))
	b := read(t, makeRun(t, dir+"/b", fmt.Sprintf(config, "bytes", 40, 2e-3), val(0, 5, 7), steps(0, 40)))
	c := Compare([]*Run{a, b})
	raw, err := json.Marshal(c.Settings)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"name":"steps","values":[80,40]},{"name":"lr","values":[0.001,0.002]}]`
	if diff := cmp.Diff(want, string(raw)); diff != "" {
		t.Error(diff)
	}
	last := c.ByTokens[len(c.ByTokens)-1]
	if last.Tokens != 40*64 || last.Values[0].Step != 40 || *last.Values[1].ValLoss != 5 {
		t.Errorf("%+v", last)
	}
	if t0 := c.ByTime[0]; len(c.ByTime) != compareRows || t0.Seconds != 2.5 || t0.Values[0].Step != 5 ||
		math.Abs(*t0.Values[0].Loss-4.96) > 1e-9 {
		t.Errorf("%+v, a's loss %v", t0, *t0.Values[0].Loss)
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		Count(0): "0", Count(830): "830", Count(5308): "5.31k", Count(124439808): "124M", Count(1e10): "10.0B",
		Count(999.7): "1.00k", Bytes(0): "0 B", Bytes(1 << 20): "1.0 MiB", Duration(12.54): "12.5s",
		Duration(200):  "3m20s",
		Duration(3720): "1h02m", Duration(200000): "2d07h",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
