package runs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFollowedIsSmall: what is kept of a run does not grow with its steps and texts.
func TestFollowedIsSmall(t *testing.T) {
	dir := t.TempDir()
	var b strings.Builder
	for i := range 5 * keptLines {
		fmt.Fprintf(&b, `{"kind":"train","step":%d,"loss":2,"ms":1000}`+"\n", i)
		fmt.Fprintf(&b, `{"kind":"sample","step":%d,"text":"%s"}`+"\n", i, strings.Repeat("x", 1000))
	}
	for name, text := range map[string]string{ConfigFile: "{}", MetricsFile: b.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	f := Follow(dir)
	if err := f.Update(); err != nil {
		t.Fatal(err)
	}
	if len(f.Train) != keptLines || len(f.Samples) > 0 || f.Seconds() != 5*keptLines || f.Done() != 5*keptLines {
		t.Errorf("%d steps and %d texts are kept, of %d steps in %v s", len(f.Train), len(f.Samples), f.Done(),
			f.Seconds())
	}
}
