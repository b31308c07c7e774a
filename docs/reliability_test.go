package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gpt2wgpu/gpt2wgpu/data/needs"
)

// TestLoop runs the loop of reliability.md that starts ranks again, with a mpirun that ends with the codes of a list:
// it resumes once there is a run, and stops after success, an interrupt and a wrong command line.
func TestLoop(t *testing.T) {
	needs.Programs(t, "sh")
	raw, err := os.ReadFile("reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, loop, _ := strings.Cut(string(raw), "    again=\n")
	loop, _, ok := strings.Cut(loop, "    done\n")
	if !ok {
		t.Fatal("reliability.md has no loop")
	}
	for codes, starts := range map[string]int{"0": 1, "137 137 0 0": 3, "1 130 0": 2, "131 0": 1, "2 0": 1} {
		dir := t.TempDir()
		fake := func(name, text string) {
			if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		fake("sleep", "exit 0\n")
		fake("mpirun", "echo \"$@\" >>log\nmkdir -p runs/four && touch runs/four/config.json\n"+
			"code=$(sed -n $(wc -l <log)p codes)\nexit $code\n")
		if err := os.WriteFile(filepath.Join(dir, "codes"), []byte(strings.ReplaceAll(codes, " ", "\n")+"\n"),
			0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", "again=\n"+loop+"done\n")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", codes, err, out)
		}
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		if len(lines) != starts {
			t.Errorf("%s: %d starts, want %d: %q", codes, len(lines), starts, lines)
		}
		for i, line := range lines {
			if strings.HasSuffix(line, " --resume") != (i > 0) {
				t.Errorf("%s: start %d is %q", codes, i+1, line)
			}
		}
	}
}
