package train

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data"
	"github.com/gpt2wgpu/gpt2wgpu/gpu/gputest"
	"github.com/gpt2wgpu/gpt2wgpu/model/gpt2"
)

// fineTune is a run from the weights of model/testdata/greedy that leaves them as they are.
func fineTune(t *testing.T) Job {
	t.Helper()
	gputest.Available(t)
	c := Job{Config: tiny()}
	c.Init, c.NLayer, c.NHead, c.NEmbd, c.BlockSize, c.VocabSize, c.Tokenizer = "../model/testdata/greedy", 0, 0, 0, 0,
		0, ""
	c.BatchSize, c.SeqLen, c.Steps, c.SampleEvery = 2, 24, 1, 0
	c.LR, c.MinLR, c.WarmupSteps, c.Schedule = 0, 0, 0, "constant"
	c.Device = os.Getenv("GPT2WGPU_DEVICE")
	c.Out = filepath.Join(t.TempDir(), "run")
	return c
}

// TestVocabularyPadding trains with a padded vocabulary and goes back: mean rows come in, cost what Pad says at most,
// and leave no trace.
func TestVocabularyPadding(t *testing.T) {
	want, err := gpt2.ReadDir("../model/testdata/greedy")
	if err != nil {
		t.Fatal(err)
	}
	run := func(c Job) (loss float64, w *gpt2.Weights) {
		t.Helper()
		if err := Run(context.Background(), c, quiet()); err != nil {
			t.Fatal(err)
		}
		w, _, err := gpt2.Load(c.Out)
		if err != nil {
			t.Fatal(err)
		}
		return float64(trainMetrics(t, c.Out)[0].Loss), w
	}
	c := fineTune(t)
	direct, got := run(c)
	sameWeights(t, "no padding", got, want)

	padded := fineTune(t)
	padded.VocabSize = 320
	loss, got := run(padded)
	sameWeights(t, "padded", got, want.Pad(320))
	if most := math.Log1p(64. / 256); !(loss > direct && loss <= direct+most) {
		t.Errorf("loss %v with 64 rows more than 256, %v without: want more, by %v at most", loss, direct, most)
	}

	back := fineTune(t)
	back.Init, back.VocabSize = padded.Out, 256
	loss, got = run(back)
	sameWeights(t, "padded and back", got, want)
	if loss != direct {
		t.Errorf("loss %v after padding and back, %v before", loss, direct)
	}
}

func sameWeights(t *testing.T, what string, got, want *gpt2.Weights) {
	t.Helper()
	if got.Config != want.Config {
		t.Fatalf("%s: shape %+v, want %+v", what, got.Config, want.Config)
	}
	for i := range want.Tensors {
		for j := range want.Tensors[i] {
			if math.Float32bits(got.Tensors[i][j]) != math.Float32bits(want.Tensors[i][j]) {
				t.Fatalf("%s: tensor %d differs at %d: %v, want %v", what, i, j, got.Tensors[i][j], want.Tensors[i][j])
			}
		}
	}
}

// writeShard writes ids as NumPy's or llm.c's format has them.
func writeShard(t *testing.T, path string, ids []byte) {
	t.Helper()
	var b bytes.Buffer
	if filepath.Ext(path) == ".npy" {
		header := fmt.Sprintf("{'descr': '<u2', 'fortran_order': False, 'shape': (%d,), }", len(ids))
		fmt.Fprintf(&b, "\x93NUMPY\x01\x00%s%-117s\n", []byte{118, 0}, header)
	} else {
		header := [256]int32{20240520, 1, int32(len(ids))}
		binary.Write(&b, binary.LittleEndian, header)
	}
	for _, id := range ids {
		b.Write([]byte{id, 0})
	}
	if err := os.WriteFile(path, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestFormats: a text, the same tokens in NumPy's and in llm.c's shards, give the same run byte for byte, over the
// borders of shards, over the end, and when it was interrupted there.
//
// A micro-batch takes 32 tokens, and a 33rd as its last target. Shards of 97 tokens that overlap by one hold three
// micro-batches each, the same as the text: 9 steps of 2 go through 4 shards once and a half.
func TestFormats(t *testing.T) {
	const shards, window = 4, 3 * 32
	text := []byte(data.SampleText()[:shards*window+1])
	dir := t.TempDir()
	file := filepath.Join(dir, "text.txt")
	if err := os.WriteFile(file, text, 0o666); err != nil {
		t.Fatal(err)
	}
	specs := map[string]string{"text": file}
	for _, format := range []string{"npy", "bin"} {
		specs[format] = filepath.Join(dir, format)
		if err := os.Mkdir(specs[format], 0o777); err != nil {
			t.Fatal(err)
		}
		for i := range shards {
			writeShard(t, filepath.Join(specs[format], fmt.Sprintf("part_train_%06d.%s", i, format)),
				text[i*window:(i+1)*window+1])
		}
	}
	runs := map[string][]string{}
	for name, spec := range specs {
		c := small(t)
		c.Data, c.HellaswagEvery, c.SampleEvery, c.ValEvery = spec, 0, 0, 0
		if name == "bin" { // interrupted behind shards 1 and 2, and after the first of the second round
			for _, stop := range []int{3, 2, 2} {
				c.StopAfter = stop
				if err := Run(context.Background(), c, quiet()); !errors.Is(err, ErrInterrupted) {
					t.Fatal(err)
				}
				c.Resume = true
			}
			c.StopAfter = 0
		}
		if err := Run(context.Background(), c, quiet()); err != nil {
			t.Fatal(err)
		}
		runs[name] = metricsOf(t, c.Out)
		if len(runs[name]) != 9 {
			t.Fatalf("%s: %d steps", name, len(runs[name]))
		}
	}
	same(t, "NumPy's shards and a text", runs["npy"], runs["text"])
	same(t, "llm.c's shards, interrupted, and a text", runs["bin"], runs["text"])
}
