package runs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// FuzzRun: the files of a run are refused in one line, or any curve of them can be drawn.
func FuzzRun(f *testing.F) {
	dir := f.TempDir()
	f.Add([]byte(`{"n_layer":1,"n_head":2,"n_embd":8,"block_size":4,"vocab_size":9,"steps":3,"version":"v1"}`),
		[]byte(`{"kind":"train","step":0,"loss":null,"ms":1}`+"\n"+`{"kind":"val","step":1,"loss":2}`+"\n"), uint8(0))
	f.Add([]byte(`{"n_layer":1e18,"n_embd":1e18,"steps":-1,"memory":[{"role":"x","bytes":18446744073709551615}]}`),
		[]byte(`{"kind":"train","step":99999999999,"loss":1e308,"ms":-1,"tokens":-9}`+"\n"+`{"kind":"sample"}`+"\n"),
		uint8(1))
	f.Fuzz(func(t *testing.T, config, metrics []byte, view uint8) {
		for name, raw := range map[string][]byte{"config.json": config, "metrics.jsonl": metrics} {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		needs.Bounded(t, func() {
			r, err := Read(dir)
			if err != nil {
				if strings.ContainsFunc(err.Error(), unicode.IsControl) {
					t.Errorf("%q", err)
				}
				return
			}
			log := view&1 > 0
			v := View{X: Xs[int(view>>1)%len(Xs)], Y: Ys[int(view>>3)%len(Ys)], Unit: "nats", LogX: log, LogY: log}
			c, _ := Draw([]*Run{r}, v)
			c.Text(80, 24, nil)
			c.SVG()
		})
	})
}
