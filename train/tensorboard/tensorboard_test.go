package tensorboard

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gpt2wgpu/gpt2wgpu/train/metrics"
)

// The reader below follows the formats' descriptions and shares nothing with the writer.

// crc32c is the checksum bit by bit: the reflected polynomial 0x1EDC6F41, masked as TFRecord has it.
func crc32c(b []byte) uint32 {
	c := ^uint32(0)
	for _, v := range b {
		c ^= uint32(v)
		for range 8 {
			c = c>>1 ^ 0x82f63b78*(c&1)
		}
	}
	c = ^c
	return (c>>15 | c<<17) + 0xa282ead8
}

// records cuts a file into the data of its records.
func records(t *testing.T, raw []byte) (all [][]byte) {
	t.Helper()
	for len(raw) > 0 {
		n := binary.LittleEndian.Uint64(raw)
		if got := binary.LittleEndian.Uint32(raw[8:]); got != crc32c(raw[:8]) {
			t.Fatalf("record %d: length's checksum %#x, want %#x", len(all), got, crc32c(raw[:8]))
		}
		data := raw[12 : 12+n]
		if got := binary.LittleEndian.Uint32(raw[12+n:]); got != crc32c(data) {
			t.Fatalf("record %d: checksum %#x, want %#x", len(all), got, crc32c(data))
		}
		all, raw = append(all, data), raw[16+n:]
	}
	return all
}

// fields calls f with each field of a protocol buffer: v is its number's bits, b its bytes.
func fields(t *testing.T, msg []byte, f func(n int, v uint64, b []byte)) {
	t.Helper()
	for len(msg) > 0 {
		key, n := binary.Uvarint(msg)
		msg = msg[n:]
		switch key & 7 {
		case 0:
			v, n := binary.Uvarint(msg)
			msg = msg[n:]
			f(int(key>>3), v, nil)
		case 1:
			f(int(key>>3), binary.LittleEndian.Uint64(msg), nil)
			msg = msg[8:]
		case 2:
			size, n := binary.Uvarint(msg)
			f(int(key>>3), 0, msg[n:n+int(size)])
			msg = msg[n+int(size):]
		case 5:
			f(int(key>>3), uint64(binary.LittleEndian.Uint32(msg)), nil)
			msg = msg[4:]
		default:
			t.Fatalf("wire type %d", key&7)
		}
	}
}

// describe prints an event: "step 3: train/loss=2.5".
func describe(t *testing.T, event []byte) (line string, when float64) {
	t.Helper()
	step, what := uint64(0), ""
	fields(t, event, func(n int, v uint64, b []byte) {
		switch n {
		case 1:
			when = math.Float64frombits(v)
		case 2:
			step = v
		case 3:
			what += " version=" + string(b)
		case 7:
			fields(t, b, func(n int, v uint64, _ []byte) { what += fmt.Sprintf(" session.%d=%d", n, v) })
		case 5:
			fields(t, b, func(_ int, _ uint64, value []byte) {
				fields(t, value, func(n int, v uint64, b []byte) {
					switch n {
					case 1:
						what += " " + string(b)
					case 2:
						what += fmt.Sprintf("=%v", math.Float32frombits(uint32(v)))
					case 8:
						fields(t, b, func(n int, v uint64, b []byte) {
							switch n {
							case 1:
								what += fmt.Sprintf(" dtype %d", v)
							case 2:
								what += fmt.Sprintf(" shape %x", b)
							case 8:
								what += fmt.Sprintf(" %q", b)
							}
						})
					case 9:
						what += fmt.Sprintf(" metadata %x", b)
					}
				})
			})
		}
	})
	return fmt.Sprintf("step %d:%s", step, what), when
}

func TestEvents(t *testing.T) {
	dir := t.TempDir()
	w, err := open(dir, 100, []Setting{{"lr", "0.002"}, {"data", "a|b"}}, func() time.Time {
		return time.Unix(1e9,
			5e8)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []metrics.Line{
		{Kind: "train", Step: 100, Loss: 2.5, LR: 0.001, GradNorm: 1.5, Tokens: 6400, TokensPerS: 128},
		{Kind: "train", Step: 101, Loss: metrics.Float(math.NaN()), LR: 0.001, GradNorm: metrics.Float(math.Inf(1)),
			Tokens: 6464, TokensPerS: 128},
		{Kind: "val", Step: 102, Loss: 2, BitsPerByte: 3},
		{Kind: "val", Step: 103, Loss: 2},
		{Kind: "hellaswag", Step: 104, Score: metrics.Score{N: 4, Acc: 0.25, AccNorm: 0.5}},
		{Kind: "later", Step: 105},
		{Kind: "sample", Step: 106, Text: "a\nb\xff"},
	} {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.1000000000.*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%v, %v", files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records(t, raw) {
		line, when := describe(t, r)
		if when != 1000000000.5 {
			t.Errorf("%s: time %v", line, when)
		}
		got = append(got, line)
	}
	const plugin = " metadata 0a060a0474657874" // plugin_data { plugin_name: "text" }
	want := []string{"step 0: version=brain.Event:2", "step 100: session.1=1",
		`step 100: settings dtype 7 shape 12020801 "| setting | value |\n|---|---|\n| lr | ` + "`0.002` |" +
			`\n| data | ` + "`a\\\\|b` |" + `\n"` + plugin,
		"step 100: train/loss=2.5 train/lr=0.001 train/grad_norm=1.5 train/tokens_per_s=128 train/tokens=6400",
		"step 101: train/loss=NaN train/lr=0.001 train/grad_norm=+Inf train/tokens_per_s=128 train/tokens=6464",
		"step 102: val/loss=2 val/bits_per_byte=3", "step 103: val/loss=2",
		"step 104: hellaswag/acc=0.25 hellaswag/acc_norm=0.5",
		`step 106: sample dtype 7 shape 12020801 "    a\n    b` + "\uFFFD" + `"` + plugin}
	if diff := cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); diff != "" {
		t.Error(diff)
	}
	if _, err := Open(filepath.Join(dir, "no"), 0, nil); err == nil || !strings.Contains(err.Error(), "; hint: ") {
		t.Errorf("a missing directory: %v", err)
	}
}
