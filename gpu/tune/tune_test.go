package tune_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gpt2wgpu/gpt2wgpu/gpu"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/op"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/tune"
)

// The test binary is its own child process: with this variable it is one, of the kind that the value says.
const childKind = "GPT2WGPU_TEST_TUNE"

func TestMain(m *testing.M) {
	kind := os.Getenv(childKind)
	if kind == "" {
		os.Exit(m.Run())
	}
	var out io.Writer = os.Stdout
	if kind == "crash" || kind == "hang" {
		out = &saboteur{kind: kind}
	}
	is := func(word string) bool { return strings.Contains(kind, word) }
	*tune.Measured = func(candidate int, took time.Duration) time.Duration {
		switch {
		case candidate > 0 && is("fast"):
			return took / 1000
		case candidate > 0 && is("slow"):
			return took * 1000
		}
		return took
	}
	if is("wrong") {
		*tune.SelfTest = func(*gpu.Device, op.Tile, op.Use) error { return errors.New("selftest: wrong") }
	}
	build := func(_ *gpu.Device, step json.RawMessage, tuning op.Tuning) (func() (time.Duration, error), error) {
		if string(step) != `"a step"` || is("no step") {
			return nil, fmt.Errorf("no such step: %s", step)
		}
		return func() (time.Duration, error) {
			if (len(tuning) > 0) == is("apart") {
				return 2 * time.Second, nil
			}
			return time.Second, nil
		}, nil
	}
	if err := tune.Child(os.Stdin, out, build); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// saboteur fails once a candidate other than the first has been announced, as its run would.
type saboteur struct{ kind string }

func (s *saboteur) Write(line []byte) (int, error) {
	n, err := os.Stdout.Write(line)
	if bytes.Contains(line, []byte(`"kind":"try"`)) && bytes.Contains(line, []byte(`"candidate":1,`)) {
		switch s.kind {
		case "crash":
			fmt.Fprintln(os.Stderr, "thread panicked: device lost")
			p, _ := os.FindProcess(os.Getpid())
			p.Kill()
			select {}
		case "hang":
			select {}
		}
	}
	return n, err
}

// adapter is the device of the tests, which is not opened: the children open it.
func adapter(t *testing.T) gpu.AdapterInfo {
	t.Helper()
	gputest.Available(t)
	list, err := gpu.Adapters()
	if err != nil {
		t.Fatal(err)
	}
	info, err := gpu.Choose(list, os.Getenv("GPT2WGPU_DEVICE"))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func tuner(t *testing.T, kind string) (*tune.Tuner, *bytes.Buffer) {
	var log bytes.Buffer
	return &tune.Tuner{
		Dir: filepath.Join(t.TempDir(), "tune"), Version: "v1", Budget: 5 * time.Minute,
		Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Child: func(ctx context.Context) *exec.Cmd {
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), childKind+"="+kind)
			return cmd
		},
	}, &log
}

// program lists the uses of some ops on small shapes.
func program(info gpu.AdapterInfo, storages ...gpu.Storage) func(op.Tuning) ([]op.Use, error) {
	return func(tuning op.Tuning) (uses []op.Use, err error) {
		d := gpu.Plan(info)
		setup := op.NewSetup(d)
		setup.Tuning, setup.OnUse = tuning, func(u op.Use) { uses = append(uses, u) }
		p := setup.NewProgram("test")
		for _, s := range storages {
			tensor := func(s gpu.Storage, name string, shape ...int) gpu.Tensor {
				t, err := d.NewTensor(gpu.Scratch, name, s, shape...)
				if err != nil {
					p.Fail("%w", err)
				}
				return t
			}
			const B, T, C, V = 2, 96, 32, 301 // an odd vocabulary: padding in the logits
			n := B * T
			x, w, bias, act := tensor(s, "x", n, C), tensor(s, "w", 4*C, C), tensor(gpu.F32, "bias", 4*C),
				tensor(s, "act", n, 4*C)
			op.MatmulForward{Out: act, Pre: tensor(s, "pre", n, 4*C), X: x, W: w, Bias: bias}.AddTo(p)
			op.MatmulForward{Out: tensor(s, "plain", n, 4*C), X: x, W: w, Bias: bias}.AddTo(p)
			op.MatmulBackwardDX{DX: tensor(s, "dx", n, C), DOut: act, W: w}.AddTo(p)
			op.MatmulBackwardDW{DW: tensor(gpu.F32, "dw", 4*C, C), DOut: act, X: x}.AddTo(p)
			qkv, att, lse := tensor(s, "qkv", n, 3*C), tensor(s, "att", n, C), tensor(gpu.F32, "lse", B, 2, T)
			op.AttentionForward{Out: att, LSE: lse, QKV: qkv, NH: 2}.AddTo(p)
			op.AttentionBackward{DQKV: tensor(s, "dqkv", n, 3*C), DOut: x, QKV: qkv, Out: att, LSE: lse,
				D: tensor(gpu.F32, "d", B, 2, T), NH: 2}.AddTo(p)
			r, vp := setup.LogitsShape(n, V)
			op.Classifier{
				Losses: tensor(gpu.F32, "losses", n), DX: tensor(gpu.F32, "dlnf", n, C), DWTE: tensor(gpu.F32, "dwte",
					V, C), X: x, WTE: tensor(s, "wte", V, C),
				Targets: tensor(gpu.U32, "targets", n), Logits: tensor(s, "logits", r, vp), Scale: 1,
			}.AddTo(p)
		}
		return uses, p.Err()
	}
}

// TestTune chooses for every class, keeps it, and measures nothing twice.
func TestTune(t *testing.T) {
	info := adapter(t)
	info.Driver = "known" // so that nothing is measured again
	tn, log := tuner(t, "good")
	list := func(tuning op.Tuning) ([]op.Use, error) {
		uses, err := program(info, gpu.F32)(tuning)
		packed, err2 := program(info, gpu.BF16)(tuning)
		return append(uses, packed[2], packed[4]), errors.Join(err, err2) // dx and attention
	}
	got, err := tn.Tune(context.Background(), info, list, "a step")
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Logf("%s", log)
	if strings.Contains(log.String(), "not used") {
		t.Error("a tile was dropped")
	}
	uses, err := list(got)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uses {
		if _, ok := got[u.Class]; !ok && len(op.Candidates(op.TargetFor(info, info.Limits), u)) > 1 {
			t.Errorf("nothing was chosen for %s", u.Class)
		}
	}
	if again := tn.Cached(info); !reflect.DeepEqual(again, got) {
		t.Errorf("kept %v, chose %v", again, got)
	}
	tn.Child = func(context.Context) *exec.Cmd { t.Error("measured again"); return exec.Command(os.Args[0]) }
	if again, err := tn.Tune(context.Background(), info, list, "a step"); err != nil || !reflect.DeepEqual(again, got) {
		t.Errorf("again: %v, %v", again, err)
	}
}

// TestArbiters: what may keep a tile from being used that was faster by itself. The clock is made up.
func TestArbiters(t *testing.T) {
	for _, c := range []struct {
		name, first, second string // kinds of the child, in two runs; the second has the cache of the first
		known               bool   // the driver
		kept                [2]bool
		says                [2]string
	}{
		{"good", "fast", "none", true, [2]bool{true, true}, [2]string{"a whole step: 1e+03 ms", ""}},
		{"wrong by the self-test", "fast wrong", "none", true, [2]bool{}, [2]string{"selftest: wrong", ""}},
		{"slow in a whole step", "fast apart", "none", true, [2]bool{}, [2]string{"slower in a whole step", ""}},
		{"no whole step", "fast no step", "fast", true, [2]bool{true, true},
			[2]string{"no such step", "a whole step: 1e+03 ms"}},
		{"slow under another driver", "fast", "slow", false, [2]bool{true, false}, [2]string{"", "has lost"}},
		{"still fast under another driver", "fast", "fast", false, [2]bool{true, true}, [2]string{"", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			info := adapter(t)
			if info.DriverKnown() != c.known {
				info.Driver = map[bool]string{true: "known", false: "vendor 0x1 device 0x2"}[c.known]
			}
			list := func(tuning op.Tuning) ([]op.Use, error) {
				uses, err := program(info, gpu.F32)(tuning)
				return uses[3:4], err // dw
			}
			uses, err := list(nil)
			if err != nil {
				t.Fatal(err)
			}
			fixed := op.Candidates(op.TargetFor(info, info.Limits), uses[0])[0]
			dir := ""
			for i, kind := range []string{c.first, c.second} {
				tn, log := tuner(t, kind)
				if dir == "" {
					dir = tn.Dir
				}
				tn.Dir = dir
				if kind == "none" {
					tn.Child = func(context.Context) *exec.Cmd {
						t.Error("measured again")
						return exec.Command(os.Args[0])
					}
				}
				got, err := tn.Tune(context.Background(), info, list, "a step")
				if err != nil || !strings.Contains(log.String(), c.says[i]) {
					t.Fatalf("run %d: %v, the log lacks %q:\n%s", i, err, c.says[i], log)
				}
				tile, ok := got[uses[0].Class]
				if kept := tile.String() != fixed.String(); !ok || kept != c.kept[i] {
					t.Errorf("run %d: got %v, fixed %v\n%s", i, got, fixed, log)
				}
				if cached := tn.Cached(info); !reflect.DeepEqual(cached, got) {
					t.Errorf("run %d: the cache has %v, want %v", i, cached, got)
				}
			}
		})
	}
}

// TestBadCandidates: one that kills its process, or keeps it for ever, is left out; the others are measured.
func TestBadCandidates(t *testing.T) {
	info := adapter(t)
	for kind, words := range map[string][]string{
		"crash": {"took its process down", "device lost"},
		"hang":  {"took its process down", "no answer in 15s"},
	} {
		t.Run(kind, func(t *testing.T) {
			tn, log := tuner(t, kind)
			if kind == "hang" {
				tn.Patience = 15 * time.Second
			}
			list := func(tuning op.Tuning) ([]op.Use, error) {
				uses, err := program(info, gpu.F32)(tuning)
				return uses[3:4], err // dw
			}
			got, err := tn.Tune(context.Background(), info, list, "a step")
			if err != nil || len(got) != 1 {
				t.Fatalf("%v, %v\n%s", got, err, log)
			}
			for _, w := range words {
				if !strings.Contains(log.String(), w) {
					t.Errorf("the log doesn't say %q:\n%s", w, log)
				}
			}
			uses, _ := list(nil)
			for class, tile := range got {
				if tile.String() == op.Candidates(op.TargetFor(info, info.Limits), uses[0])[1].String() {
					t.Errorf("%s: the bad tile was chosen", class)
				}
			}
		})
	}
}

// TestNoChild: errors are one line with a hint, and nothing is kept.
func TestNoChild(t *testing.T) {
	info := gpu.AdapterInfo{Name: "none", Type: "cpu", Limits: gpu.DefaultLimits()}
	for name, child := range map[string]func(context.Context) *exec.Cmd{
		"missing": func(ctx context.Context) *exec.Cmd {
			return exec.CommandContext(ctx, filepath.Join(t.TempDir(), "nothing"))
		},
		"fails": func(ctx context.Context) *exec.Cmd {
			return exec.CommandContext(ctx, os.Args[0], "-no-such-flag")
		},
		"silent": func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, os.Args[0], "-test.list=^$") },
	} {
		tn, _ := tuner(t, "good")
		tn.Child = child
		got, err := tn.Tune(context.Background(), info, program(info, gpu.F32), nil)
		if err == nil || !strings.Contains(err.Error(), "hint:") || strings.Contains(err.Error(), "\n") ||
			len(got) != 0 || tn.Cached(info) != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	tn, _ := tuner(t, "good")
	if _, err := tn.Tune(ctx, info, program(info, gpu.F32), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestCache: a file counts only for its adapter, driver, limits and version, and a broken one for none.
func TestCache(t *testing.T) {
	info := gpu.AdapterInfo{Name: "some", Driver: "1", Limits: gpu.DefaultLimits()}
	tn, log := tuner(t, "good")
	path := tn.Path(info)
	moved := info
	moved.Index = 3
	if tn.Path(moved) != path {
		t.Error("the place in the list of adapters changes the file")
	}
	driver, limits, version := info, info, *tn
	driver.Driver = "2"
	limits.Limits.MaxWorkgroupBytes++
	version.Version = "v2"
	for i, other := range []string{tn.Path(driver), tn.Path(limits), version.Path(info)} {
		if other == path {
			t.Errorf("change %d does not change the file", i)
		}
	}
	for _, text := range []string{`{`,
		`{"tuning":{"matmul_forward/f32/1x1x1":{"matmul":{"TM":0,"TN4":1,"WX":8,"WY":1}}}}`,
		`{"tuning":{"matmul_forward/f32/1x1x1":{"matmul":{"TM":4,"TN4":1,"WX":1024,"WY":2}}}}`, `{"tuning":{"x":{}}}`,
		`{"tuning":{"classifier/1x1":{"classifier":{"Rows":65}}}}`, `{"tuning":{"other":{"classifier":{"Rows":64}}}}`,
		`{"tuning":{"classifier/1x1":{"classifier":{"Rows":4611686018427387904}}}}`,
		`{"tuning":{"matmul_forward/f32":{"matmul":{"TM":4611686018427387904,"TN4":4,"WX":8,"WY":1}}}}`,
		`{"tuning":{"attention_forward/f32":{"attention":{"Suffix":"_direct"}}}}`,
		`{"tuning":{"attention_forward/f32":{"classifier":{"Rows":64}}}}`,
		`{"tuning":{"matmul_backward_dw/f32":{"matmul":{"TM":2,"TN4":2,"WX":8,"WY":1}}}}`} {
		if err := os.MkdirAll(tn.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		if got := tn.Cached(info); got != nil || !strings.Contains(log.String(), "not used") {
			t.Errorf("%s: %v, log %s", text, got, log)
		}
	}
	good := `{"tuning":{"matmul_forward/f32/1x1x1":{"matmul":{"TM":4,"TN4":1,"WX":8,"WY":1}}}}`
	if err := os.WriteFile(path, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	now := strings.Replace(good, `{"TM"`, `{"Algorithm":"direct","TM"`, 1)
	if raw, err := json.Marshal(map[string]op.Tuning{"tuning": tn.Cached(info)}); err != nil || string(raw) != now {
		t.Errorf("got %s, %v", raw, err)
	}
}

// TestChildRefuses what no Tuner asks for.
func TestChildRefuses(t *testing.T) {
	if err := tune.Child(strings.NewReader("hello"), io.Discard, nil); err == nil || !strings.Contains(err.Error(),
		"hint:") {
		t.Errorf("got %v", err)
	}
}

// TestNoTime: a budget that is over before anything is measured is said once, and never as negative seconds.
func TestNoTime(t *testing.T) {
	info := adapter(t)
	tu, log := tuner(t, "")
	tu.Budget = 1
	tiles, err := tu.Tune(context.Background(), info, program(info, gpu.F32), nil)
	if text := log.String(); err != nil || len(tiles) > 0 || !strings.Contains(text, "no time to measure") ||
		strings.Contains(text, "for up to") {
		t.Errorf("%v, %v: %s", tiles, err, text)
	}
}
